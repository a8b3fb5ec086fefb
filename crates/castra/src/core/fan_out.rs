//! Does one thing for several VMs at once.

use std::thread;

/// Calls `work` for every item on a thread of its own and returns the results in order.
///
/// A single item is worked on here: most projects have one VM, and a thread costs time.
///
/// # Panics
/// Where `work` panics.
pub(crate) fn fan_out<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [only] = items {
        return vec![work(only)];
    }
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, R>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_their_items() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(fan_out(&items, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(fan_out(&[1], |n| n * 2), [2]);
        assert_eq!(fan_out(&[], |n: &u32| n * 2), [0; 0]);
    }
}
