use portfwd_common::State;

use super::*;

#[test]
fn the_documented_keys_are_read() -> Result<()> {
    let config = Config::parse(
        r#"
        interface = "eth0"
        mode = "auto"

        [conntrack]
        max_flows = 1048576
        max_half_open = 1000
        tcp_established = "5d"
        udp = "31s"

        [snat]
        ports = "1024-2047, 4096-65535"

        [[forward]]
        name = "web"
        listen = "192.168.1.34:81/tcp"
        to = ["192.168.1.32:80"]

        [[forward]]
        listen = "8000-8099/udp+tcp"
        to = [{ address = "10.0.0.5:9000-9099" }]
        snat = "192.168.1.35"
        "#,
    )?;
    assert_eq!(config.interface.as_deref(), Some("eth0"));
    assert_eq!(config.conntrack.max_flows, Some(1_048_576));
    let ns = config.conntrack.timeouts.as_ns();
    assert_eq!(ns[State::Unreplied as usize], 31_000_000_000);
    assert_eq!(ns[State::Established as usize], 432_000_000_000_000);
    assert_eq!(ns[State::TimeWait as usize], 120_000_000_000);
    let texts: Vec<String> = config.rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "192.168.1.34:81/tcp=192.168.1.32:80",
            "8000-8099/udp+tcp=10.0.0.5:9000-9099"
        ]
    );
    assert_eq!(config.rules[0].name, "web");
    Ok(())
}

#[test]
fn each_mistake_is_shown_with_line_and_caret() {
    for (text, says) in [
        ("interfaces = \"eth0\"", "unknown field `interfaces`"),
        ("mode = \"fast\"", "unknown variant `fast`"),
        ("[conntrack]\nudp = \"soon\"", "`soon` is not a time"),
        ("[conntrack]\nudp = \"0s\"", "write a time from 1s to 400d"),
        ("[conntrack]\nmax_flows = 0", "write a number from 1 to"),
        ("[conntrack]\nicmp = \"30s\"", "unknown field `icmp`"),
        ("[snat]\nports = \"0-5\"", "no port `0`"),
        ("[snat]\nports = \"5-9,7-8\"", "must lie above"),
        (
            "[[forward]]\nlisten = \"81\"\nto = [\"10.0.0.5:80\"]",
            "protocol",
        ),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.5\"]",
            "port",
        ),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = []",
            "there is no target",
        ),
        ("[[forward]]\nlisten = \"81/tcp\"", "missing field `to`"),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = [5]",
            "expected a target as in",
        ),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = [{ adress = \"10.0.0.5:80\" }]",
            "unknown field `adress`",
        ),
        ("interface = \"../etc\"", "cannot be an interface"),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.5:80\"]\n\
             [[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.6:80\"]",
            "both listen on port 81",
        ),
        (
            "[[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.5:80\"]\nsnat = \"none\"",
            "not supported yet",
        ),
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(
            error.contains("line ") && error.contains("column "),
            "{error}"
        );
        assert!(error.contains('^'), "{error}");
    }
}

#[test]
fn the_caret_is_under_the_mistake() {
    let text = "\n[[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.5:99999\"]\n";
    let error = Config::parse(text).expect_err("a bad port").to_string();
    assert!(error.starts_with("line 4, column 7\n"), "{error}");
    assert!(
        error.contains("4 | to = [\"10.0.0.5:99999\"]\n  |       ^\n"),
        "{error}"
    );
}

#[test]
fn the_documented_file_is_read_and_says_the_defaults() -> Result<()> {
    let config = Config::parse(include_str!("../../../docs/portfwd.toml"))?;
    assert_eq!(config.conntrack.timeouts, Timeouts::default());
    assert_eq!(config.rules.len(), 1);
    Ok(())
}
