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

/// The same with at most `threads` threads, for work that is short unless something hangs.
///
/// # Panics
/// Where `work` panics.
pub(crate) fn spread<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    let shares: Vec<&[T]> = items.chunks(share).collect();
    fan_out(&shares, |share| share.iter().map(&work).collect::<Vec<_>>()).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_thinly_keeps_the_order_too() {
        let items: Vec<u32> = (0..50).collect();
        let doubled: Vec<u32> = items.iter().map(|n| n * 2).collect();
        for threads in [0, 1, 3, 49, 50, 1000] {
            assert_eq!(spread(&items, threads, |n| n * 2), doubled, "{threads} threads");
        }
        assert_eq!(spread(&[], 4, |n: &u32| n * 2), [0; 0]);
    }

    #[test]
    fn results_keep_the_order_of_their_items() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(fan_out(&items, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(fan_out(&[1], |n| n * 2), [2]);
        assert_eq!(fan_out(&[], |n: &u32| n * 2), [0; 0]);
    }
}
