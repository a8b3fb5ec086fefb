//! A session's record, as `status` reads it: whatever wrote it.

use plasmavmc_guest::freshness::{BrokerLock, Evidence, Reach, judge};
use plasmavmc_guest::record::SessionRecord;

/// A record that is read is written as it was read, and proves nothing about another run.
pub fn check(bytes: &[u8]) {
    let Some(record) = SessionRecord::parse(bytes) else { return };
    let text = serde_json::to_vec(&record).expect("plain values serialise");
    assert_eq!(SessionRecord::parse(&text), Some(record.clone()));
    let evidence = Evidence {
        broker: BrokerLock::Held,
        holder: Some(record.broker),
        run: Some(record.run),
        boot_id: record.host_boot_id,
        record: Some(&record),
        now_ms: 1 << 40,
        window_ms: 6_000,
    };
    let fresh = judge(evidence);
    assert_eq!(fresh.reach == Reach::Reachable, !record.lost && fresh.age_ms.is_some_and(|age| age <= 6_000));
    let other = judge(Evidence { run: None, ..evidence });
    assert_eq!((other.reach, other.age_ms), (Reach::Waiting, None));
    assert_eq!(judge(Evidence { holder: None, ..evidence }).reach, Reach::Waiting);
    assert_eq!(judge(Evidence { broker: BrokerLock::Free, ..evidence }).reach, Reach::Offline);
}
