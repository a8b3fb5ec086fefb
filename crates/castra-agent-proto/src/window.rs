//! How much one end of a stream may still send: what keeps a reader that is slow, or never reads,
//! from filling the memory of everyone between. Pure. Tests: below.

use crate::limits::WINDOW;

/// The sender's account: what it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow(u32);

impl Default for SendWindow {
    fn default() -> Self {
        Self(WINDOW)
    }
}

impl SendWindow {
    /// Bytes that may be sent now.
    pub fn available(self) -> usize {
        self.0 as usize
    }

    /// Notes bytes that were sent; false, and nothing noted, where they were not granted.
    #[must_use]
    pub fn spend(&mut self, bytes: usize) -> bool {
        let Some(left) = u32::try_from(bytes).ok().and_then(|bytes| self.0.checked_sub(bytes)) else {
            return false;
        };
        self.0 = left;
        true
    }

    /// Notes what the other end granted; false where that is more than a window, which no honest end
    /// grants.
    #[must_use]
    pub fn grant(&mut self, bytes: u32) -> bool {
        match self.0.checked_add(bytes) {
            Some(sum) if sum <= WINDOW => {
                self.0 = sum;
                true
            }
            _ => false,
        }
    }
}

/// The receiver's account: what it used up and has not granted anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveWindow(u32);

impl ReceiveWindow {
    /// Notes bytes that were handed on; tells what to grant, once it is worth a frame.
    pub fn used(&mut self, bytes: usize) -> Option<u32> {
        self.0 = self.0.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        (self.0 >= WINDOW / 4).then(|| std::mem::take(&mut self.0))
    }
}

/// The payload of a credit frame.
pub fn credit(bytes: u32) -> Vec<u8> {
    bytes.to_le_bytes().to_vec()
}

/// What a credit frame grants; none where it is no credit frame.
pub fn parse_credit(payload: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(payload.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_granted_cannot_be_sent() {
        let mut window = SendWindow::default();
        assert!(window.spend(WINDOW as usize) && !window.spend(1));
        assert!(window.grant(10) && window.spend(10) && !window.spend(1));
    }

    #[test]
    fn more_than_a_window_is_never_granted() {
        let mut window = SendWindow::default();
        assert!(!window.grant(1) && !window.grant(u32::MAX));
        assert!(window.spend(5) && !window.grant(6) && window.grant(5));
    }

    #[test]
    fn a_receiver_that_uses_all_grants_all() {
        let (mut receive, mut granted) = (ReceiveWindow::default(), 0);
        for _ in 0..WINDOW / 1024 {
            granted += receive.used(1024).unwrap_or(0);
        }
        assert_eq!(granted, WINDOW);
        assert_eq!(parse_credit(&credit(granted)), Some(WINDOW));
        assert_eq!(parse_credit(b"abc"), None);
    }
}
