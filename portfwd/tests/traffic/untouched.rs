//! What is not forwarded is A's own, as if portfwd were not there; and nothing is left behind.

use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};

use crate::setup::{MODES, SOON, Setup, TO_B, listen};

#[test]
fn other_ports_ping_and_arp_of_a_work_as_before() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        // As sshd would: a server of A's own on another port.
        let server = setup
            .lab
            .a()
            .enter(|| TcpListener::bind("192.168.1.34:22"))?;
        let mut client = setup
            .lab
            .client()
            .enter(|| TcpStream::connect_timeout(&listen(22), SOON))
            .with_context(|| format!("{mode}: A's own port 22"))?;
        let (mut accepted, from) = server.accept()?;
        assert_eq!(
            from.ip(),
            setup.lab.client().address(),
            "{mode}: A sees the client itself"
        );
        accepted.write_all(b"SSH-2.0")?;
        let mut banner = [0; 7];
        client.set_read_timeout(Some(SOON))?;
        client.read_exact(&mut banner)?;
        assert_eq!(&banner, b"SSH-2.0");

        setup
            .lab
            .client()
            .run("ip", ["neigh", "flush", "dev", "eth0"])?;
        setup
            .lab
            .client()
            .run("ping", ["-c", "2", "-W", "5", "192.168.1.34"])?;
        let refused = setup
            .lab
            .client()
            .enter(|| TcpStream::connect_timeout(&listen(83), SOON));
        let error = refused.err().context("port 83 is open")?;
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{mode}"
        );
        // A's own connection to the target, beside the forwarded ones.
        let to_b = std::net::SocketAddr::from(([192, 168, 1, 32], 80));
        setup
            .lab
            .a()
            .enter(|| TcpStream::connect_timeout(&to_b, SOON))?;
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn no_sysctl_is_changed_and_the_port_refuses_again_afterwards() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        setup.file("index.html", 100)?;
        let sysctls = || {
            setup
                .lab
                .a()
                .run("sysctl", ["-a", "--ignore", "-r", "^net.ipv4.(conf|ip)"])
        };
        let connect = || {
            setup
                .lab
                .client()
                .enter(|| TcpStream::connect_timeout(&listen(81), SOON))
        };
        let before = sysctls()?;
        ensure!(
            before.contains("net.ipv4.ip_forward = 0"),
            "A forwards by itself"
        );
        ensure!(connect().is_err(), "81 is open before");
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        setup.fetch(81, "index.html")?;
        assert_eq!(sysctls()?, before, "{mode}");
        setup.stop(&daemon)?;
        let error = connect().err().context("81 is open afterwards")?;
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{mode}"
        );
    }
    Ok(())
}
