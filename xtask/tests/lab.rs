//! The lab itself: its hosts reach each other, nothing forwards but the router, and nothing
//! outlives it. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::lab::{Host, Lab, LabOptions, Signal, wait_until};

const BOUND: Duration = Duration::from_secs(10);

/// Sends a line from one host to the other over TCP; the peer's address as the server saw it.
fn talk(from: &Host, to: &Host) -> Result<Ipv4Addr> {
    // A port of the kernel's choice: a fixed one may still be taken by the pair before.
    let listener = to.enter(|| TcpListener::bind((to.address(), 0)))?;
    let address = listener.local_addr()?;
    let mut client = from.enter(|| TcpStream::connect_timeout(&address, BOUND))?;
    let (mut server, peer) = listener.accept()?;
    client.write_all(b"over the wire")?;
    drop(client);
    let mut received = String::new();
    server.read_to_string(&mut received)?;
    ensure!(received == "over the wire", "received {received:?}");
    match peer {
        SocketAddr::V4(peer) => Ok(*peer.ip()),
        SocketAddr::V6(peer) => anyhow::bail!("{peer} is no IPv4 peer"),
    }
}

#[test]
fn hosts_reach_each_other() -> Result<()> {
    let lab = Lab::new()?;
    let (client, a, b, b2) = (lab.client(), lab.a(), lab.b(), lab.b2());
    for (from, to) in [
        (client, a),
        (a, b),
        (b, client),
        (client, b2),
        (b2, a),
        (a, b2),
    ] {
        let peer = talk(from, to).with_context(|| format!("{} to {}", from.name(), to.name()))?;
        assert_eq!(peer, from.address(), "{} to {}", from.name(), to.name());
    }
    Ok(())
}

#[test]
fn only_the_router_forwards() -> Result<()> {
    let lab = Lab::new()?;
    for host in [lab.client(), lab.a(), lab.b(), lab.router(), lab.b2()] {
        let value = host.run("cat", ["/proc/sys/net/ipv4/ip_forward"])?;
        let expected = if host.name() == "router" { "1" } else { "0" };
        assert_eq!(value.trim(), expected, "{}", host.name());
    }
    Ok(())
}

#[test]
fn links_have_the_wanted_mtu_and_no_ipv6() -> Result<()> {
    let lab = Lab::with(LabOptions {
        mtu: 9000,
        ..LabOptions::default()
    })?;
    let shown = lab.a().run("ip", ["link", "show", "eth0"])?;
    assert!(shown.contains("mtu 9000"), "{shown}");
    assert_eq!(lab.a().run("ip", ["-6", "address"])?, "");
    talk(lab.client(), lab.b2())?;
    Ok(())
}

#[test]
fn the_web_server_logs_who_asked() -> Result<()> {
    let lab = Lab::new()?;
    let page = lab.dir().join("page");
    fs::create_dir(&page)?;
    fs::write(page.join("index.html"), "hello\n")?;
    let server = lab.web_server(lab.b2(), 80, &page)?;
    let body = lab.client().run("curl", ["-sS", "http://10.0.0.5/"])?;
    assert_eq!(body, "hello\n");
    wait_until("the client's line in the log", BOUND, || {
        server.log().starts_with("192.168.1.185 ")
    })
}

#[test]
fn an_error_shows_the_command_and_what_it_said() -> Result<()> {
    let lab = Lab::new()?;
    let error = lab
        .a()
        .run("ip", ["link", "show", "eth7"])
        .expect_err("A has one NIC");
    let error = error.to_string();
    assert!(error.contains("`ip link show eth7` on A failed"), "{error}");
    assert!(error.contains("\"eth7\" does not exist"), "{error}");
    Ok(())
}

#[test]
fn processes_are_heard_and_ended() -> Result<()> {
    let lab = Lab::new()?;
    let mut command = lab.a().command("sh");
    command.args(["-c", "echo first; echo second; exec sleep 1000"]);
    let process = lab.a().spawn(command)?;
    assert_eq!(process.wait_for_line("", BOUND)?, "first");
    assert_eq!(process.wait_for_line("sec", BOUND)?, "second");
    process.signal(Signal::SIGTERM)?;
    assert!(!process.wait(BOUND)?.success());
    assert!(process.signal(Signal::SIGTERM).is_err());

    let mut command = lab.a().command("sh");
    command.args(["-c", "echo sorry >&2"]);
    let error = lab
        .a()
        .spawn(command)?
        .wait_for_line("ready", BOUND)
        .expect_err("it never says so");
    assert!(error.to_string().contains("sorry"), "{error}");
    Ok(())
}

#[test]
fn nothing_remains() -> Result<()> {
    let lab = Lab::new()?;
    let bpffs = lab.bpffs();
    let mounts = fs::read_to_string("/proc/mounts")?;
    assert!(
        mounts.contains(&format!("{} bpf", bpffs.display())),
        "{mounts}"
    );
    // The shell's own child is not known to the lab, and in a process group of its own.
    let mut command = lab.b().command("sh");
    command.args(["-c", "setsid sleep 1000 & echo $!; wait"]);
    let process = lab.b().spawn(command)?;
    let child = process.wait_for_line("", BOUND)?;
    let dir = lab.dir().to_owned();
    let hosts = [
        lab.client(),
        lab.a(),
        lab.b(),
        lab.router(),
        lab.b2(),
        lab.switch(),
    ];
    let namespaces = hosts.map(|host| PathBuf::from("/run/netns").join(host.namespace()));
    assert!(namespaces.iter().all(|namespace| namespace.exists()));

    drop(lab);

    let mounts = fs::read_to_string("/proc/mounts")?;
    assert!(!mounts.contains(&dir.display().to_string()), "{mounts}");
    assert!(!dir.exists());
    for namespace in namespaces {
        assert!(!namespace.exists(), "{}", namespace.display());
    }
    assert!(process.try_wait()?.is_some());
    wait_until("the end of the shell's child", BOUND, || {
        !PathBuf::from("/proc").join(&child).exists()
    })
}

#[test]
fn nothing_remains_of_a_lab_whose_test_panics() -> Result<()> {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let lab = Lab::new().expect("this runs as root");
        let told = send.send((lab.dir().to_owned(), lab.a().namespace().to_owned()));
        told.expect("the test waits for it");
        panic!("on purpose");
    });
    let (dir, namespace) = receive.recv()?;
    assert!(thread.join().is_err());
    assert!(!dir.exists());
    assert!(!PathBuf::from("/run/netns").join(namespace).exists());
    Ok(())
}
