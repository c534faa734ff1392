//! The compiled programs in the kernel, attached to nothing: what the verifier says of them, and
//! what they do with packets (BPF_PROG_TEST_RUN).

mod garbage;
mod packet_cases;
mod setup;
mod verifier;
