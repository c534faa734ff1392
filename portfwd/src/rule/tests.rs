use std::net::Ipv4Addr;

use portfwd_common::RULE_TEXT_BYTES;
use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Rule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_written_is_read_and_written_again() {
    for text in [
        "192.168.1.34:81/tcp=192.168.1.32:80",
        "81/tcp=192.168.1.32:80",
        "53/udp+tcp=10.0.0.5:53",
        "8000-8099/tcp=10.0.0.5:9000-9099",
        "1-65535/udp=10.0.0.5:1-65535",
    ] {
        assert_eq!(parsed(text).to_string(), text);
    }
    assert_eq!(
        parsed("53/tcp+udp=10.0.0.5:53").to_string(),
        "53/udp+tcp=10.0.0.5:53"
    );
}

#[test]
fn each_mistake_is_named_in_one_line() {
    for (text, says) in [
        ("", "="),
        ("81", "protocol"),
        ("81=", "protocol"),
        ("81/tcp=", "target"),
        ("81/tcp=10.0.0.5", "10.0.0.5"),
        ("81/tcp=:80", "address"),
        ("0/tcp=10.0.0.5:80", "0"),
        ("65536/tcp=10.0.0.5:80", "65536"),
        ("81/tcp=10.0.0.5:0", "0"),
        ("+81/tcp=10.0.0.5:80", "+81"),
        ("http/tcp=10.0.0.5:80", "http"),
        ("81/sctp=10.0.0.5:80", "sctp"),
        ("81/tcp+tcp=10.0.0.5:80", "twice"),
        ("81/=10.0.0.5:80", "protocol"),
        ("81/tcp=example.com:80", "example.com"),
        ("10.0.0.5:80/tcp=10.0.0.5:80", "10.0.0.5:80"),
        ("8000-8099/tcp=10.0.0.5:9000-9098", "9000-9098"),
        ("8099-8000/tcp=10.0.0.5:9000-9099", "8099-8000"),
        ("10.0.0.1:81/tcp=[2001:db8::2]:80", "IPv"),
        ("[2001:db8::1]:81/tcp=[2001:db8::2]:80", "not supported yet"),
        ("81/tcp=2001:db8::2:80", "2001:db8::2:80"),
        ("127.0.0.1:81/tcp=10.0.0.5:80", "loopback"),
        ("0.0.0.0:81/tcp=10.0.0.5:80", "0.0.0.0"),
        ("81/tcp=224.0.0.1:80", "multicast"),
        ("81/tcp=255.255.255.255:80", "broadcast"),
        ("81/tcp=10.0.0.5:80,10.0.0.6:80", "not supported yet"),
        ("10.0.0.1:81/any=10.0.0.5:81", "not supported yet"),
    ] {
        let error = text.parse::<Rule>().expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn rules_that_listen_in_the_same_place_are_refused() {
    let overlapping = [
        ("10.0.0.1:81/tcp=10.0.0.5:80", "10.0.0.1:81/tcp=10.0.0.6:80"),
        ("81/tcp=10.0.0.5:80", "10.0.0.1:81/tcp=10.0.0.6:80"),
        ("80-90/tcp=10.0.0.5:80-90", "90/udp+tcp=10.0.0.6:80"),
    ];
    for (one, other) in overlapping {
        let error = name_and_check(vec![parsed(one), parsed(other)]).expect_err(one);
        let message = error.to_string();
        assert!(
            message.contains(one) && message.contains(other),
            "{message}"
        );
        assert_eq!(error.index, 1);
    }
    let apart = [
        "81/tcp=10.0.0.5:80",
        "81/udp=10.0.0.5:80",
        "82-90/tcp=10.0.0.5:82-90",
    ];
    assert!(name_and_check(apart.map(parsed).to_vec()).is_ok());
}

#[test]
fn rules_without_a_name_get_one_of_their_own() {
    let named = Rule {
        name: "81-tcp".to_owned(),
        ..parsed("10.0.0.4:81/tcp=10.0.0.5:80")
    };
    let rules = vec![
        parsed("10.0.0.1:81/tcp=10.0.0.5:80"),
        parsed("10.0.0.2:81/tcp=10.0.0.5:80"),
        named.clone(),
    ];
    let rules = name_and_check(rules).expect("names");
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["81-tcp-2", "81-tcp-3", "81-tcp"]);
    let twice = Rule {
        name: "81-tcp".to_owned(),
        ..parsed("82/tcp=10.0.0.5:80")
    };
    let error = name_and_check(vec![named, twice]).expect_err("twice");
    assert!(error.to_string().contains("`81-tcp`"), "{error}");
}

#[test]
fn names_are_checked() {
    for name in ["a b", "a/b", "x".repeat(65).as_str(), "naïve", ""] {
        assert!(parse_name(name).is_err(), "{name}");
    }
    assert!(parse_name("web-1.example_+").is_ok());
}

#[test]
fn source_addresses() {
    assert_eq!("auto".parse(), Ok(Snat::Auto));
    assert_eq!(
        "192.168.1.34".parse(),
        Ok(Snat::Address(Ipv4Addr::new(192, 168, 1, 34).into()))
    );
    for bad in ["none", "10.0.0.1,10.0.0.2", "127.0.0.1", "2001:db8::1", "x"] {
        assert!(bad.parse::<Snat>().is_err(), "{bad}");
    }
}

fn host() -> impl Strategy<Value = IpAddr> {
    let usable = |address: &Ipv4Addr| {
        let [first, ..] = address.octets();
        !matches!(first, 0 | 127 | 224..=239) && !address.is_broadcast()
    };
    any::<Ipv4Addr>()
        .prop_filter("a host's address", usable)
        .prop_map(IpAddr::V4)
}

fn rules() -> impl Strategy<Value = Rule> {
    let protocols = prop_oneof![
        Just(vec![Protocol::Tcp]),
        Just(vec![Protocol::Udp]),
        Just(vec![Protocol::Udp, Protocol::Tcp]),
    ];
    let snat = prop_oneof![Just(Snat::Auto), host().prop_map(Snat::Address)];
    let ports = (1..=u16::MAX, 1..=u16::MAX);
    let parts = (
        prop::option::of(host()),
        ports,
        any::<u16>(),
        host(),
        protocols,
        snat,
    );
    parts
        .prop_map(|(address, (one, other), target, to, protocols, snat)| {
            let (first, last) = (one.min(other), one.max(other));
            // As far up as the whole range still fits.
            let highest = u16::MAX - (last - first);
            Rule {
                name: "web-1".to_owned(),
                protocols,
                listen: Listen {
                    address,
                    ports: PortRange { first, last },
                },
                targets: vec![TargetSpec {
                    address: to,
                    first_port: target.clamp(1, highest),
                }],
                snat,
            }
        })
        .prop_filter("a rule that passes its check", |rule| {
            name_and_check(vec![rule.clone()]).is_ok()
        })
}

fn fail(error: impl Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #[test]
    fn a_rule_is_read_as_it_was_written(rule in rules()) {
        let text = rule.to_string();
        let read: Rule = text.parse().map_err(fail)?;
        let unnamed = Rule { name: String::new(), snat: Snat::Auto, ..rule.clone() };
        prop_assert_eq!(&read, &unnamed);
        prop_assert!(rule.is_written(&text));
    }

    #[test]
    fn a_rule_survives_its_json_form_and_fits_the_map(rule in rules()) {
        let json = serde_json::to_string(&rule).map_err(fail)?;
        prop_assert!(json.len() <= RULE_TEXT_BYTES, "{} bytes", json.len());
        prop_assert_eq!(serde_json::from_str::<Rule>(&json).map_err(fail)?, rule);
    }

    #[test]
    fn any_text_gives_a_rule_or_one_line(text in any::<String>()) {
        if let Err(error) = text.parse::<Rule>() {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn text_like_a_rule_gives_a_rule_or_one_line(text in r"[0-9a-f:./=,\[\]\-+\n tcpudany]{0,40}") {
        match text.parse::<Rule>() {
            Ok(rule) => prop_assert!(rule.is_written(&rule.to_string())),
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
        }
    }
}
