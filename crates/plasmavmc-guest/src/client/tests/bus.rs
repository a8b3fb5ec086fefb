//! The bus.

use super::*;

#[test]
fn a_message_is_published_and_a_refusal_told() {
    let world = World::new(|listener| {
        for answer in [session_frame(Kind::Attached, &Attached::Ok), refusal(RefusedCode::Unreachable)] {
            let (mut peer, attach) = Peer::accept(&listener);
            assert_eq!(attach, Attach::Publish { vm: "web".into() });
            peer.send(&session_frame(Kind::Attached, &Attached::Ok));
            let sent = Publication::parse(&peer.next().payload).unwrap();
            assert_eq!((sent.topic.as_str(), sent.message.as_slice()), ("deploy", &b"v2"[..]));
            peer.send(&answer);
        }
    });
    let message = Publication::new("deploy", b"v2".to_vec()).unwrap();
    publish(&world.layout(), &vm(), &message, Duration::ZERO).unwrap();
    let error = publish(&world.layout(), &vm(), &message, Duration::ZERO).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    world.end();
}

#[test]
fn a_tail_gives_messages_in_order_until_the_broker_ends() {
    let message = |seq| BusMessage {
        seq,
        at: "2026-01-01T00:00:00.000Z".into(),
        vm: "web".into(),
        from: BusSide::Guest,
        topic: "t".into(),
        text: Some("hi".into()),
        hex: None,
        dropped: 0,
    };
    let world = World::new(move |listener| {
        let (mut peer, attach) = Peer::accept(&listener);
        assert_eq!(attach, Attach::Tail { vm: Some("web".into()), topic: None, last: 0, only_last: false });
        peer.send(&session_frame(Kind::Attached, &Attached::Ok));
        for seq in 1..4 {
            peer.send(&session_frame(Kind::Publish, &message(seq)));
        }
    });
    let mut tail =
        Tail::open(&world.layout(), &TailWanted { vm: Some(&vm()), ..TailWanted::default() }).unwrap();
    for seq in 1..4 {
        assert_eq!(tail.next(Some(Duration::from_secs(10))).unwrap(), Some(message(seq)));
    }
    assert!(matches!(tail.next(None), Err(ClientError::BrokerGone)));
    world.end();
}
