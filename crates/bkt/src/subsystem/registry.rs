//! The subsystems of a host, in the order they are worked with.

use super::plan::{Standing, Summary};
use super::{CompositePlan, Plan, Subsystem, SubsystemError};

/// The subsystems of a host.
#[derive(Default)]
pub struct Registry {
    subsystems: Vec<Box<dyn Subsystem>>,
}

/// What every subsystem answered, and which could not.
pub struct Answers<T> {
    /// The answers with the ids of their subsystems.
    pub answers: Vec<(&'static str, T)>,
    /// Who could not answer.
    pub failed: Vec<SubsystemError>,
}

impl Registry {
    /// Adds a subsystem behind the others. One of the same id is replaced.
    pub fn register(&mut self, subsystem: Box<dyn Subsystem>) -> &mut Self {
        self.subsystems.retain(|known| known.id() != subsystem.id());
        self.subsystems.push(subsystem);
        self
    }

    /// The subsystems.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Subsystem> {
        self.subsystems.iter().map(AsRef::as_ref)
    }

    /// What would make the host as its manifests have it.
    pub fn plan_sync(&self) -> (CompositePlan<'_>, Vec<SubsystemError>) {
        composed(self.ask(Subsystem::plan_sync))
    }

    /// What would make the manifests say what the host has. The last subsystem is captured first, as what
    /// it is made of may be captured by those before it.
    pub fn plan_capture(&self) -> (CompositePlan<'_>, Vec<SubsystemError>) {
        let mut asked = self.ask(Subsystem::plan_capture);
        asked.answers.reverse();
        composed(asked)
    }

    /// How everything stands.
    pub fn status(&self) -> Answers<Vec<Standing>> {
        self.ask(Subsystem::status)
    }

    /// What differs.
    pub fn drift(&self) -> Answers<Summary> {
        self.ask(Subsystem::drift)
    }

    fn ask<'r, T>(&'r self, question: impl Fn(&'r dyn Subsystem) -> Result<T, SubsystemError>) -> Answers<T> {
        let mut all = Answers { answers: Vec::new(), failed: Vec::new() };
        for subsystem in self.iter() {
            match question(subsystem) {
                Ok(answer) => all.answers.push((subsystem.id(), answer)),
                Err(error) => all.failed.push(error),
            }
        }
        all
    }
}

fn composed(asked: Answers<Box<dyn Plan + '_>>) -> (CompositePlan<'_>, Vec<SubsystemError>) {
    let mut whole = CompositePlan::default();
    for (id, plan) in asked.answers {
        whole.push(id, plan);
    }
    (whole, asked.failed)
}
