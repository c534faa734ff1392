//! What is fetched through A is what the target has, byte for byte.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result, ensure};

use xtask::lab::LabOptions;

use crate::setup::{MODES, SOON, Setup, TO_B, TO_B2, listen};

#[test]
fn a_mebibyte_and_a_hundred_from_both_targets() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let (small, large) = (
            setup.file("small", 1 << 20)?,
            setup.file("large", 100 << 20)?,
        );
        let daemon = setup.run(&["--mode", mode, TO_B, TO_B2])?;
        assert_eq!(setup.json(&["status"])?["mode"], mode);
        for port in [81, 82] {
            // Not assert_eq: a failure would print it all.
            ensure!(
                setup.fetch(port, "small")? == small,
                "{mode}, port {port}: 1 MiB differs"
            );
            ensure!(
                setup.fetch(port, "large")? == large,
                "{mode}, port {port}: 100 MiB differ"
            );
        }
        let stats = setup.json(&["stats"])?;
        assert_eq!(stats["packets"]["dropped"], 0, "{mode}: {stats}");
        setup.stop(&daemon)?;
    }
    Ok(())
}

/// A veth, like a NIC with receive offload, hands TC packets of up to 64 KiB whose checksums are
/// left for later; the kernel cuts and completes them on the way out.
#[test]
fn tc_takes_packets_that_offloads_have_not_finished() -> Result<()> {
    let setup = Setup::with(LabOptions {
        offloads: true,
        ..LabOptions::default()
    })?;
    let large = setup.file("large", 100 << 20)?;
    let daemon = setup.run(&["--mode", "tc", TO_B, TO_B2])?;
    for port in [81, 82] {
        ensure!(
            setup.fetch(port, "large")? == large,
            "port {port}: 100 MiB differ"
        );
    }
    let rule = &setup.json(&["list"])?["rules"][0];
    let packets = rule["packets_to_client"].as_u64().unwrap_or_default();
    // Otherwise the lab had no such packets, and the test shows nothing.
    ensure!(
        packets < (100 << 20) / 1500,
        "{packets} packets: none was large"
    );
    setup.stop(&daemon)
}

#[test]
fn jumbo_frames() -> Result<()> {
    for mode in MODES {
        let setup = Setup::with(LabOptions {
            mtu: 9000,
            ..LabOptions::default()
        })?;
        let large = setup.file("large", 20 << 20)?;
        let daemon = setup.run(&["--mode", mode, TO_B, TO_B2])?;
        for port in [81, 82] {
            ensure!(
                setup.fetch(port, "large")? == large,
                "{mode}, port {port}: 20 MiB differ"
            );
        }
        let rule = &setup.json(&["list"])?["rules"][0];
        let packets = rule["packets_to_client"].as_u64().unwrap_or_default();
        ensure!(
            packets < (20 << 20) / 4000,
            "{mode}: {packets} packets: none was large"
        );
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn two_hundred_connections_at_once() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let file = setup.file("file", 64 << 10)?;
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        let answers = setup.lab.client().enter(|| concurrent_requests(200))?;
        for answer in &answers {
            ensure!(
                answer.ends_with(&file),
                "{mode}: {} bytes that differ",
                answer.len()
            );
        }
        let list = setup.json(&["list"])?;
        assert_eq!(list["rules"][0]["flows_total"], 200, "{mode}: {list}");
        setup.stop(&daemon)?;
    }
    Ok(())
}

/// Opens all connections before it sends the first request, so that all are open at once.
fn concurrent_requests(count: usize) -> Result<Vec<Vec<u8>>> {
    let mut streams = Vec::new();
    for number in 0..count {
        let stream = TcpStream::connect_timeout(&listen(81), SOON)
            .with_context(|| format!("connection {number}"))?;
        stream.set_read_timeout(Some(SOON))?;
        streams.push(stream);
    }
    thread::scope(|scope| {
        let workers: Vec<_> = streams
            .iter_mut()
            .map(|stream| scope.spawn(move || request(stream)))
            .collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Result<Vec<u8>>>| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))?
        };
        workers.into_iter().map(join).collect()
    })
}

fn request(stream: &mut TcpStream) -> Result<Vec<u8>> {
    stream.write_all(b"GET /file HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn udp_request_and_response() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let daemon = setup.run(&["--mode", mode, "192.168.1.34:53/udp=192.168.1.32:5353"])?;
        let server = setup
            .lab
            .b()
            .enter(|| UdpSocket::bind("192.168.1.32:5353"))?;
        server.set_read_timeout(Some(SOON))?;
        let client = setup
            .lab
            .client()
            .enter(|| UdpSocket::bind("192.168.1.185:40000"))?;
        client.set_read_timeout(Some(SOON))?;
        let mut buffer = [0; 2048];
        for number in 0..100u32 {
            let question = vec![number as u8; 1 + 14 * number as usize];
            client.send_to(&question, listen(53))?;
            let (len, from) = server.recv_from(&mut buffer)?;
            assert_eq!(&buffer[..len], &question, "{mode}, question {number}");
            assert_eq!(from.ip(), setup.lab.a().address(), "{mode}: B sees A");
            server.send_to(&[&question[..], b"!"].concat(), from)?;
            let (len, from) = client.recv_from(&mut buffer)?;
            assert_eq!(
                &buffer[..len],
                [&question[..], b"!"].concat(),
                "{mode}, answer {number}"
            );
            assert_eq!(
                from,
                listen(53),
                "{mode}: the client sees the listen address"
            );
        }
        let conns = setup.json(&["conns"])?;
        assert_eq!(conns["flows"][0]["state"], "ASSURED", "{mode}: {conns}");
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn the_first_packet_to_an_unresolved_neighbour_arrives() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let daemon = setup.run(&["--mode", mode, "192.168.1.34:53/udp=192.168.1.32:5353"])?;
        let server = setup
            .lab
            .b()
            .enter(|| UdpSocket::bind("192.168.1.32:5353"))?;
        server.set_read_timeout(Some(SOON))?;
        // With the daemon stopped nothing but the packet itself can resolve the neighbour.
        daemon.signal(xtask::lab::Signal::SIGKILL)?;
        daemon.wait(SOON)?;
        setup.lab.a().run("ip", ["neigh", "flush", "dev", "eth0"])?;
        make_unresolved(&setup)?;
        let client = setup
            .lab
            .client()
            .enter(|| UdpSocket::bind("192.168.1.185:0"))?;
        client.send_to(b"first", listen(53))?;
        let mut buffer = [0; 16];
        let (len, _) = server
            .recv_from(&mut buffer)
            .context("the first packet is lost")?;
        assert_eq!(&buffer[..len], b"first", "{mode}");
        setup.output(&["detach"])?;
        setup.nothing_is_left()?;
    }
    Ok(())
}

/// Writes what the daemon writes while a neighbour is not known.
fn make_unresolved(setup: &Setup) -> Result<()> {
    let folder = setup.lab.bpffs().join("portfwd/eth0/v1");
    let mut maps = portfwd::kernel::Maps::open(&folder)?;
    let mut target = maps.target(0)?;
    target.state = portfwd_common::NextHopState::Unresolved as u8;
    target.mac = portfwd_common::Mac::default();
    maps.set_target(0, &target)
}
