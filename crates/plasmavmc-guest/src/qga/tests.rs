//! An agent in one variable.

use proptest::prelude::*;

use super::*;

/// What the session asked.
fn asked(qga: &mut Qga) -> Vec<Value> {
    let output = qga.take_output();
    let text: Vec<u8> = output.into_iter().filter(|byte| *byte != SENTINEL).collect();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn say(qga: &mut Qga, answer: &Value, now: u64) {
    qga.receive(format!("{answer}\n").as_bytes(), now);
}

fn events(qga: &mut Qga) -> Vec<QgaEvent> {
    std::iter::from_fn(|| qga.next_event()).collect()
}

fn info() -> Value {
    let command = |name: &str, enabled: bool| json!({ "name": name, "enabled": enabled });
    json!({ "return": { "version": "10.0.3", "supported_commands": [
        command("guest-shutdown", true), command("guest-set-time", true), command("guest-exec", false),
    ] } })
}

fn on(now: u64) -> Qga {
    let mut qga = Qga::new(1 << 20, now);
    let id = asked(&mut qga)[0]["arguments"]["id"].clone();
    qga.receive(&[SENTINEL], now);
    say(&mut qga, &json!({ "return": id }), now);
    assert_eq!(asked(&mut qga), [json!({ "execute": "guest-info" })]);
    say(&mut qga, &info(), now);
    qga
}

#[test]
fn an_agent_that_answers_is_accepted_with_what_it_really_can() {
    let mut qga = on(1_000);
    let capabilities = vec!["shutdown".to_owned(), "time".to_owned()];
    assert_eq!(
        events(&mut qga),
        [QgaEvent::Accepted { version: "10.0.3".to_owned(), capabilities }, QgaEvent::Alive { at_ms: 1_000 }]
    );
    qga.tick(2_000, 0);
    assert_eq!(asked(&mut qga), [json!({ "execute": "guest-ping" })]);
    say(&mut qga, &json!({ "return": {} }), 2_300);
    assert_eq!(events(&mut qga), [QgaEvent::Alive { at_ms: 2_000 }]);
    say(&mut qga, &json!({ "return": {} }), 2_400);
    assert_eq!(events(&mut qga), [], "an answer to no question counts for nothing");
}

#[test]
fn answers_to_someone_else_are_passed_over() {
    let mut qga = Qga::new(0, 0);
    let id = asked(&mut qga)[0]["arguments"]["id"].as_u64().unwrap();
    qga.receive(b"{\"return\": 7}\n{\"error\": {}}\nhalf a li", 10);
    qga.receive(&[SENTINEL], 10);
    assert!(asked(&mut qga).is_empty());
    say(&mut qga, &json!({ "return": id }), 20);
    assert_eq!(asked(&mut qga), [json!({ "execute": "guest-info" })]);
}

#[test]
fn a_silent_agent_is_lost_and_then_synchronised_with_anew() {
    let mut qga = on(0);
    events(&mut qga);
    let mut now = 0;
    while qga.is_on() {
        assert!(now < 20_000, "it waits for ever");
        now = qga.deadline();
        qga.tick(now, 0);
    }
    assert_eq!(events(&mut qga), [QgaEvent::Lost]);
    // A frozen agent is not sent more and more.
    qga.take_output();
    for _ in 0..10 {
        qga.tick(qga.deadline(), 100);
    }
    assert!(qga.take_output().is_empty());
}

#[test]
fn what_it_is_asked_for_is_answered_or_refused_in_turn() {
    let mut qga = on(0);
    events(&mut qga);
    assert!(qga.ask_for(1, Wish::SetTime { unix_ns: 7 }, 10));
    assert!(qga.ask_for(2, Wish::Shutdown(ShutdownMode::Reboot), 10));
    assert_eq!(asked(&mut qga), [json!({ "execute": "guest-set-time", "arguments": { "time": 7 } })]);
    say(&mut qga, &json!({ "error": { "class": "GenericError", "desc": "no\nclock" } }), 20);
    assert_eq!(asked(&mut qga), [json!({ "execute": "guest-shutdown", "arguments": { "mode": "reboot" } })]);
    assert_eq!(
        events(&mut qga),
        [
            QgaEvent::Alive { at_ms: 10 },
            QgaEvent::Answered { ticket: 1, refusal: Some("noclock".to_owned()) },
            QgaEvent::Answered { ticket: 2, refusal: None }
        ]
    );
}

proptest! {
    #[test]
    fn nothing_an_agent_says_panics_or_piles_up(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), is_on: bool,
    ) {
        let mut qga = if is_on { on(0) } else { Qga::new(u64::MAX, 0) };
        let mut now = 0;
        for piece in pieces {
            qga.receive(&piece, now);
            now = now.max(qga.deadline());
            qga.tick(now, 0);
            events(&mut qga);
            qga.take_output();
            prop_assert!(qga.line.len() <= LINE_MAX && qga.deadline() > now);
        }
    }
}
