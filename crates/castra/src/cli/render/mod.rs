//! Answers as people read them: outcomes in, text out.
//!
//! Pure: no I/O, no clock, no environment. What programs read is the same outcome as JSON. Meaning never
//! depends on colour. Tests: in each file, as snapshots over fixed outcomes.

mod bootstrap;
mod bus;
mod clean;
mod console;
mod copy;
mod doctor;
mod down;
mod exec;
mod images;
mod init;
mod logs;
mod ports;
mod ssh;
mod status;
mod style;
mod up;

pub(crate) use bootstrap::bootstrap;
pub(crate) use bus::{bus_message, heard, published};
pub(crate) use clean::clean;
pub(crate) use console::console;
pub(crate) use copy::copy;
pub(crate) use doctor::doctor;
pub(crate) use down::down;
pub(crate) use exec::{OutputLines, exec};
pub(crate) use images::{images, pulled, removed, stored, verified};
pub(crate) use init::init;
pub(crate) use logs::{LogPrinter, Looks, logs};
pub(crate) use ports::ports;
pub(crate) use ssh::ssh_config;
pub(crate) use status::{status, without_time};
pub(crate) use up::{broker_only, plan, up};

#[cfg(test)]
pub(super) mod samples {
    //! What the tests of the renderers share.

    use plasmavmc_term::{Stdout, Width};
    use plasmavmc_types::{PortForward, Protocol};

    use plasmavmc_cli::Detail;

    use crate::cli::face::View;
    use crate::core::status::Forward;

    pub(crate) const WIDE: View = View { width: Width::Unlimited, detail: Detail::Normal };
    pub(crate) const FULL: View = View { width: Width::Unlimited, detail: Detail::Full };

    /// The text as it is without colour.
    pub(crate) fn plain(text: &str) -> String {
        let (writer, seen) = sink();
        Stdout::to(writer, Width::Unlimited).print(text).unwrap();
        let bytes = seen.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    type Seen = std::sync::Arc<std::sync::Mutex<Vec<u8>>>;

    /// A writer and what it was given.
    pub(crate) fn sink() -> (impl std::io::Write + Send + 'static, Seen) {
        struct Sink(Seen);
        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let seen = Seen::default();
        (Sink(seen.clone()), seen)
    }

    pub(crate) fn forward(host: u64, guest: u64) -> Forward {
        let forward = PortForward::tcp(host, guest).unwrap();
        assert_eq!(forward.protocol, Protocol::Tcp);
        (&forward).into()
    }
}
