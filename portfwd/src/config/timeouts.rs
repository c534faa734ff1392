//! When idle flows end.

use std::time::Duration;

use portfwd_common::State;
use toml::Spanned;

use super::{At, ConntrackTable};

/// The shortest and the longest timeout that make sense.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// One timeout per state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts([Duration; State::ALL.len()]);

impl Default for Timeouts {
    /// netfilter's defaults (net/netfilter/nf_conntrack_proto_tcp.c and _udp.c).
    fn default() -> Self {
        Self(std::array::from_fn(|index| {
            Duration::from_secs(match State::from_u8(index as u8) {
                State::SynSent | State::FinWait | State::TimeWait | State::Assured => 120,
                State::SynRecv | State::CloseWait => 60,
                State::Established => 5 * 24 * 60 * 60,
                State::LastAck | State::Unreplied => 30,
                State::Close => 10,
            })
        }))
    }
}

impl Timeouts {
    /// Nanoseconds, by the number of the state.
    #[must_use]
    pub fn as_ns(&self) -> [u64; 16] {
        let ns = |index: usize| {
            self.0
                .get(index)
                .map_or(0, |timeout| timeout.as_nanos() as u64)
        };
        std::array::from_fn(ns)
    }
}

pub(super) fn check(table: &ConntrackTable) -> At<Timeouts> {
    let mut timeouts = Timeouts::default();
    for (state, text) in [
        (State::SynSent, &table.tcp_syn_sent),
        (State::SynRecv, &table.tcp_syn_recv),
        (State::Established, &table.tcp_established),
        (State::FinWait, &table.tcp_fin_wait),
        (State::CloseWait, &table.tcp_close_wait),
        (State::LastAck, &table.tcp_last_ack),
        (State::TimeWait, &table.tcp_time_wait),
        (State::Close, &table.tcp_close),
        (State::Unreplied, &table.udp),
        (State::Assured, &table.udp_assured),
    ] {
        if let Some(text) = text {
            timeouts.0[state as usize] = check_one(text)?;
        }
    }
    Ok(timeouts)
}

fn check_one(text: &Spanned<String>) -> At<Duration> {
    match humantime::parse_duration(text.as_ref()) {
        Ok(timeout) if (SHORTEST..=LONGEST).contains(&timeout) => Ok(timeout),
        Ok(_) => Err((
            text.span(),
            format!("`{}`: write a time from 1s to 400d", text.as_ref()),
        )),
        Err(error) => Err((
            text.span(),
            format!(
                "`{}` is not a time ({error}): write 30s, 2m, 1h or 5d",
                text.as_ref()
            ),
        )),
    }
}
