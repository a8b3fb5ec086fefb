//! A second subsystem beside a first: neither knows of the other.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// A toy: lamps that are to be on.
struct Lamps {
    id: &'static str,
    off: Rc<RefCell<Vec<&'static str>>>,
    breaks: bool,
}

struct LampPlan<'l> {
    lamps: &'l Lamps,
    off: Vec<&'static str>,
}

#[derive(Debug, thiserror::Error)]
#[error("the fuse blew")]
struct Fuse;

impl Explain for Fuse {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }
}

impl Plan for LampPlan<'_> {
    fn describe(&self) -> Summary {
        let light = |target: &&str| Operation {
            verb: Verb::Update,
            target: (*target).to_owned(),
            details: vec!["off -> on".to_owned()],
        };
        Summary { operations: self.off.iter().map(light).collect(), notes: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.off.is_empty()
    }

    fn execute(self: Box<Self>, told: &mut Told<'_>) -> Result<Report, SubsystemError> {
        if self.lamps.breaks {
            return Err(SubsystemError::new(self.lamps.id, Fuse));
        }
        self.lamps.off.borrow_mut().clear();
        let done: Vec<String> = self.off.iter().map(|lamp| format!("lit {lamp}")).collect();
        done.iter().for_each(|line| told(line));
        Ok(Report { done, ..Report::default() })
    }
}

impl Subsystem for Lamps {
    fn id(&self) -> &'static str {
        self.id
    }

    fn name(&self) -> &'static str {
        "lamps"
    }

    fn plan_sync(&self) -> Result<Box<dyn Plan + '_>, SubsystemError> {
        Ok(Box::new(LampPlan { lamps: self, off: self.off.borrow().clone() }))
    }

    fn plan_capture(&self) -> Result<Box<dyn Plan + '_>, SubsystemError> {
        Err(SubsystemError::new(self.id, Fuse))
    }

    fn status(&self) -> Result<Vec<Standing>, SubsystemError> {
        Ok(Vec::new())
    }

    fn drift(&self) -> Result<Summary, SubsystemError> {
        Ok(self.plan_sync()?.describe())
    }
}

fn lamps(id: &'static str, off: &[&'static str], breaks: bool) -> Lamps {
    Lamps { id, off: Rc::new(RefCell::new(off.to_vec())), breaks }
}

fn registry(subsystems: Vec<Lamps>) -> Registry {
    let mut registry = Registry::default();
    for subsystem in subsystems {
        registry.register(Box::new(subsystem));
    }
    registry
}

#[test]
fn every_subsystem_is_planned_and_executed_in_order() {
    let registry = registry(vec![lamps("hall", &["a"], false), lamps("yard", &["b", "c"], false)]);
    let (plan, failed) = registry.plan_sync();
    assert!(failed.is_empty() && !plan.is_empty());
    let parts: Vec<_> =
        plan.describe_parts().into_iter().map(|(id, part)| (id, part.operations.len())).collect();
    assert_eq!(parts, [("hall", 1), ("yard", 2)]);
    assert_eq!(plan.describe().operations.len(), 3);
    let mut heard = Vec::new();
    let report = Box::new(plan).execute(&mut |line| heard.push(line.to_owned())).unwrap();
    assert_eq!(heard, ["lit a", "lit b", "lit c"]);
    assert_eq!((report.done, report.failed.len()), (heard, 0));
    assert!(registry.plan_sync().0.is_empty(), "a second sync has something to do");
}

#[test]
fn planning_changes_nothing() {
    let hall = lamps("hall", &["a"], false);
    let off = Rc::clone(&hall.off);
    let registry = registry(vec![hall]);
    drop((registry.plan_sync(), registry.plan_capture(), registry.status(), registry.drift()));
    assert_eq!(*off.borrow(), ["a"]);
}

#[test]
fn the_failure_of_one_does_not_keep_the_others_from_theirs() {
    let registry = registry(vec![lamps("hall", &["a"], true), lamps("yard", &["b"], false)]);
    let (plan, _) = registry.plan_sync();
    let report = Box::new(plan).execute(&mut |_| {}).unwrap();
    assert_eq!(report.done, ["lit b"]);
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].target, "hall");
    let (plan, failed) = registry.plan_capture();
    assert!(plan.is_empty());
    assert_eq!(failed.iter().map(SubsystemError::subsystem).collect::<Vec<_>>(), ["hall", "yard"]);
}

#[test]
fn the_failure_of_a_subsystem_names_it_and_keeps_its_cause() {
    let error = SubsystemError::new("hall", Fuse);
    assert_eq!(error.to_string(), "the subsystem `hall` cannot go on");
    assert_eq!(error.source().unwrap().to_string(), "the fuse blew");
    assert_eq!((error.kind(), plasmavmc_types::repeated_source(&error)), (ErrorKind::Preflight, None));
}

#[test]
fn a_subsystem_is_registered_once() {
    let registry = registry(vec![lamps("hall", &["a"], false), lamps("hall", &[], false)]);
    assert_eq!(registry.iter().count(), 1);
    assert!(registry.plan_sync().0.is_empty());
}
