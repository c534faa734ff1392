//! What B receives and what the client sees, packet by packet, with checksums computed anew.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use crate::setup::{MODES, Setup, TO_B, until};

/// The header of a pcap file and of each packet in it (libpcap's format).
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// A packet as it was captured.
struct Packet {
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
    ttl: u8,
}

/// Reads a capture; every IPv4 packet's checksums must be right.
fn read(pcap: &[u8]) -> Result<Vec<Packet>> {
    let mut packets = Vec::new();
    let mut rest = pcap.get(FILE_HEADER..).context("no pcap header")?;
    while let Some((header, behind)) = rest.split_at_checked(PACKET_HEADER) {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, next)) = behind.split_at_checked(len) else {
            break;
        };
        packets.push(check(frame)?);
        rest = next;
    }
    Ok(packets)
}

fn check(frame: &[u8]) -> Result<Packet> {
    let sliced = SlicedPacket::from_ethernet(frame)?;
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
        bail!("not IPv4: {frame:02x?}");
    };
    let header = ip.header().to_header();
    ensure!(
        header.calc_header_checksum() == header.header_checksum,
        "IP checksum: {header:?}"
    );
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
        bail!("not TCP: {frame:02x?}");
    };
    let right = tcp.calc_checksum_ipv4(header.source, header.destination)?;
    ensure!(
        right == tcp.checksum(),
        "TCP checksum {:04x}, not {right:04x}",
        tcp.checksum()
    );
    Ok(Packet {
        source: (header.source, tcp.source_port()),
        destination: (header.destination, tcp.destination_port()),
        ttl: header.time_to_live,
    })
}

/// Captures TCP on `host` while `work` runs.
fn capture(host: &xtask::lab::Host, work: impl FnOnce() -> Result<()>) -> Result<Vec<Packet>> {
    let mut tcpdump = host.command("tcpdump");
    tcpdump.args([
        "-i",
        "eth0",
        "-p",
        "-n",
        "-U",
        "-w",
        "-",
        "--immediate-mode",
        "tcp",
    ]);
    let mut child = tcpdump
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("no stdout")?;
    // tcpdump writes the file's header once it listens.
    let mut pcap = vec![0; FILE_HEADER];
    output.read_exact(&mut pcap)?;
    let worked = work();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id() as i32),
        nix::sys::signal::Signal::SIGINT,
    )?;
    output
        .read_to_end(&mut pcap)
        .with_context(|| format!("descriptor {}", output.as_raw_fd()))?;
    child.wait()?;
    worked?;
    read(&pcap)
}

#[test]
fn b_sees_a_with_right_checksums_and_one_hop_less() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let file = setup.file("file", 1 << 20)?;
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        let (a, b) = (
            setup.lab.a().address().octets(),
            setup.lab.b().address().octets(),
        );
        let fetch = || {
            ensure!(setup.fetch(81, "file")? == file, "the file differs");
            Ok(())
        };
        let at_b = capture(setup.lab.b(), fetch)?;
        let to_b: Vec<_> = at_b
            .iter()
            .filter(|packet| packet.destination == (b, 80))
            .collect();
        ensure!(to_b.len() > 10, "{mode}: {} packets at B", to_b.len());
        for packet in to_b {
            assert_eq!(packet.source.0, a, "{mode}: the source that B sees");
            assert_eq!(packet.ttl, 63, "{mode}: one lower than the client's 64");
        }
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn the_client_sees_the_listen_address_only() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        setup.file("file", 1 << 20)?;
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        let client = setup.lab.client().address().octets();
        let a = setup.lab.a().address().octets();
        let seen = capture(setup.lab.client(), || setup.fetch(81, "file").map(drop))?;
        let to_client: Vec<_> = seen
            .iter()
            .filter(|packet| packet.destination.0 == client)
            .collect();
        ensure!(
            to_client.len() > 10,
            "{mode}: {} packets at the client",
            to_client.len()
        );
        for packet in to_client {
            assert_eq!(packet.source, (a, 81), "{mode}");
        }
        until("the flow to be closed", || {
            Ok(setup.json(&["conns"])?["flows"][0]["state"] == "TIME_WAIT")
        })?;
        setup.stop(&daemon)?;
    }
    Ok(())
}
