//! TCP flags and the connection states, with netfilter's names.

use bytemuck::{Pod, Zeroable};

use crate::Direction;
use crate::parse::Ports;

/// A TCP header without options (RFC 9293).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Header {
    pub ports: Ports,
    pub sequence: [u8; 4],
    pub acknowledgement: [u8; 4],
    /// The header's length in words, in the upper four bits.
    pub data_offset: u8,
    pub flags: u8,
    pub window: [u8; 2],
    pub checksum: [u8; 2],
    pub urgent: [u8; 2],
}

/// The flags byte of a TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// Opens a connection.
    #[inline(always)]
    #[must_use]
    pub fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }

    /// Data or an acknowledgement alone: no flag that changes the state of a connection.
    #[inline(always)]
    #[must_use]
    pub fn is_plain(self) -> bool {
        self.0 & (Self::SYN | Self::FIN | Self::RST) == 0
    }

    /// Belongs to a connection that was opened before.
    #[inline(always)]
    #[must_use]
    pub fn continues(self) -> bool {
        self.0 & (Self::SYN | Self::RST) == 0 && self.0 & Self::ACK != 0
    }

    /// Cannot be sent by a sound TCP: no flag at all, or SYN together with FIN or RST.
    #[inline(always)]
    #[must_use]
    pub fn is_invalid(self) -> bool {
        let opening = self.0 & (Self::SYN | Self::FIN | Self::RST);
        self.0 & (Self::SYN | Self::FIN | Self::RST | Self::ACK) == 0
            || (opening & Self::SYN != 0 && opening != Self::SYN)
            || opening == Self::FIN | Self::RST
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// The state of a flow. Its number is the index of its timeout in [`crate::Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// TCP: the client's SYN was seen.
    SynSent,
    /// TCP: the target's SYN-ACK was seen.
    SynRecv,
    /// TCP: the handshake is complete.
    Established,
    /// TCP: one side sent FIN.
    FinWait,
    /// TCP: that FIN was acknowledged.
    CloseWait,
    /// TCP: the other side sent FIN too.
    LastAck,
    /// TCP: both FINs were acknowledged.
    TimeWait,
    /// TCP: reset.
    Close,
    /// UDP: the target has not answered yet.
    Unreplied,
    /// UDP: the target has answered.
    Assured,
}

impl State {
    /// Every state, in the order of its number.
    pub const ALL: &'static [Self] = &[
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::Unreplied,
        Self::Assured,
    ];

    /// The state with this number; an unknown number counts as closed.
    #[inline(always)]
    #[must_use]
    pub fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::SynSent,
            1 => Self::SynRecv,
            2 => Self::Established,
            3 => Self::FinWait,
            4 => Self::CloseWait,
            5 => Self::LastAck,
            6 => Self::TimeWait,
            8 => Self::Unreplied,
            9 => Self::Assured,
            _ => Self::Close,
        }
    }

    /// netfilter's name. UDP has no states there; these two say what its flags say.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::Unreplied => "UNREPLIED",
            Self::Assured => "ASSURED",
        }
    }

    /// Whether a new connection may take the place of one in this state: both sides are done.
    #[inline(always)]
    #[must_use]
    pub fn is_done(self) -> bool {
        matches!(self, Self::LastAck | Self::TimeWait | Self::Close)
    }

    /// The TCP state after a segment with `flags` in `direction`.
    ///
    /// netfilter's table, reduced to what a forwarder needs that does not follow sequence
    /// numbers: a segment that does not fit leaves the state as it is.
    #[inline(always)]
    #[must_use]
    pub fn after(self, direction: Direction, flags: TcpFlags) -> Self {
        if flags.has(TcpFlags::RST) {
            return Self::Close;
        }
        if flags.has(TcpFlags::SYN) {
            return match (self, direction) {
                (Self::SynSent, Direction::ToClient) => Self::SynRecv,
                _ => self,
            };
        }
        if flags.has(TcpFlags::FIN) {
            return match self {
                Self::SynRecv | Self::Established => Self::FinWait,
                Self::FinWait | Self::CloseWait => Self::LastAck,
                _ => self,
            };
        }
        match (self, direction) {
            (Self::SynRecv, Direction::ToTarget) => Self::Established,
            (Self::FinWait, _) => Self::CloseWait,
            (Self::LastAck, _) => Self::TimeWait,
            _ => self,
        }
    }
}
