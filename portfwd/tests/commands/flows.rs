//! `conns`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::lab_support::Site;

const RULES: [&str; 2] = [
    "192.168.1.34:81/tcp=192.168.1.32:8080",
    "192.168.1.34:82/tcp=10.0.0.5:8080",
];

fn flows(site: &Site, filter: &[&str]) -> Result<Vec<Value>> {
    let document = site.json(&[&["conns", "-o", "json"], filter].concat())?;
    Ok(document["flows"].as_array().context("flows")?.clone())
}

#[test]
fn a_flow_in_every_format() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&RULES)?;
    let mut open = site.connect(81, site.lab.b(), 8080)?;
    open.talk()?;
    let found = flows(&site, &[])?;
    let [flow] = &found[..] else {
        panic!("one flow: {found:?}");
    };
    let client = open.client_address()?.to_string();
    for (field, value) in [
        ("protocol", "tcp"),
        ("state", "ESTABLISHED"),
        ("rule", "81-tcp"),
        ("client", client.as_str()),
        ("listen", "192.168.1.34:81"),
        ("target", "192.168.1.32:8080"),
    ] {
        assert_eq!(flow[field], value, "{flow}");
    }
    assert_eq!(flow["snat"], open.seen_by_the_target()?.to_string());
    assert_eq!(flow["assured"], true);
    let number = |field: &str| flow[field].as_u64().with_context(|| field.to_owned());
    // SYN, ACK, five bytes, ACK of five bytes, 40 bytes of headers each at least.
    assert!(number("packets_to_target")? >= 4, "{flow}");
    assert!(number("packets_to_client")? >= 3, "{flow}");
    assert!(number("bytes_to_target")? > 160, "{flow}");
    assert!(number("bytes_to_client")? > 120, "{flow}");
    let expires = number("expires_in_s")?;
    assert!((431_900..=432_000).contains(&expires), "{flow}");

    let (client_ip, client_port) = client.split_once(':').context("an endpoint")?;
    let line = site.ok(&["conns", "-o", "conntrack"])?;
    let start = format!(
        "src={client_ip} dst=192.168.1.34 sport={client_port} dport=81 packets={} bytes={} \
         src=192.168.1.32 dst=192.168.1.34 sport=8080 dport={} packets={} bytes={} \
         [ASSURED] rule=81-tcp\n",
        number("packets_to_target")?,
        number("bytes_to_target")?,
        open.seen_by_the_target()?.port(),
        number("packets_to_client")?,
        number("bytes_to_client")?,
    );
    ensure!(line.ends_with(&start), "{line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!([words[0], words[1], words[3]], ["tcp", "6", "ESTABLISHED"]);

    let table = site.ok(&["conns"])?;
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 2, "{table}");
    for word in ["tcp", "ESTABLISHED", &client, "192.168.1.32:8080", "81-tcp"] {
        assert!(rows[1].contains(word), "{table}");
    }
    assert_eq!(site.ok(&["conns", "list"])?.lines().count(), 2);
    Ok(())
}

#[test]
fn filters_count_and_flush() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&RULES)?;
    let mut near = site.connect(81, site.lab.b(), 8080)?;
    let mut far = site.connect(82, site.lab.b2(), 8080)?;
    near.talk()?;
    far.talk()?;
    for (filter, count) in [
        (&[][..], 2),
        (&["--rule", "81-tcp"], 1),
        (&["--rule", "nothing"], 0),
        (&["--src", "192.168.1.185"], 2),
        (&["--src", "192.168.1.34"], 0),
        (&["--dst", "192.168.1.34"], 2),
        (&["--dst", "10.0.0.5"], 1),
        (&["--proto", "tcp"], 2),
        (&["--proto", "udp"], 0),
        (&["--state", "ESTABLISHED"], 2),
        (&["--state", "established", "--rule", "82-tcp"], 1),
        (&["--state", "TIME_WAIT"], 0),
        (&["--proto", "tcp", "--dst", "192.168.1.32"], 1),
    ] {
        let context = || format!("{filter:?}");
        assert_eq!(flows(&site, filter)?.len(), count, "{filter:?}");
        let counted = site.ok(&[&["conns", "count"], filter].concat())?;
        assert_eq!(counted.trim(), count.to_string(), "{}", context());
        let counted = site.json(&[&["conns", "count", "--json"], filter].concat())?;
        assert_eq!(counted["count"], count, "{}", context());
        let table = site.ok(&[&["conns", "list"], filter].concat())?;
        assert_eq!(table.lines().count(), count + 1, "{}", context());
    }
    for (wrong, says) in [
        (["--proto", "sctp"], "tcp"),
        (["--state", "OPEN"], "ESTABLISHED"),
        (["--src", "client"], "client"),
    ] {
        let command = [&["conns"], &wrong[..]].concat();
        site.portfwd(&command)?.refuses(2, &[says])?;
    }

    site.ok(&["conns", "flush", "--rule", "nothing"])?;
    assert_eq!(flows(&site, &[])?.len(), 2);
    site.ok(&["conns", "flush", "--rule", "81-tcp"])?;
    let left = flows(&site, &[])?;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["rule"], "82-tcp");
    far.talk()?;
    site.ok(&["conns", "flush"])?;
    assert_eq!(site.ok(&["conns", "count"])?.trim(), "0");
    // New connections are forwarded as before.
    drop((near, far));
    site.connect(81, site.lab.b(), 8080)?.talk()
}
