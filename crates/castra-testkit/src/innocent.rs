//! A process that has nothing to do with any VM, for tests that a stranger is never signalled.
//!
//! Tests: every test that has one.

use std::process::{Child, Command, Stdio};

/// An innocent process. Ends when dropped.
pub struct Innocent(Child);

impl Innocent {
    /// Starts one.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn start() -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null());
        Self(command.spawn().expect("every host has `sleep`"))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether nobody ended it.
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_none()
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
