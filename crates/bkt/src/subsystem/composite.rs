//! Several plans as one.

use super::SubsystemError;
use super::plan::{Failure, Plan, Report, Summary, Told};

/// The plans of several subsystems. One that fails does not keep the others from theirs.
#[derive(Default)]
pub struct CompositePlan<'p> {
    parts: Vec<(&'static str, Box<dyn Plan + 'p>)>,
}

impl<'p> CompositePlan<'p> {
    /// Adds the plan of a subsystem.
    pub fn push(&mut self, subsystem: &'static str, plan: Box<dyn Plan + 'p>) {
        self.parts.push((subsystem, plan));
    }

    /// Each subsystem's part in words.
    pub fn describe_parts(&self) -> Vec<(&'static str, Summary)> {
        self.parts.iter().map(|(id, plan)| (*id, plan.describe())).collect()
    }
}

impl Plan for CompositePlan<'_> {
    fn describe(&self) -> Summary {
        let mut whole = Summary::default();
        for (_, part) in self.describe_parts() {
            whole.operations.extend(part.operations);
            whole.notes.extend(part.notes);
        }
        whole
    }

    fn is_empty(&self) -> bool {
        self.parts.iter().all(|(_, plan)| plan.is_empty())
    }

    fn execute(self: Box<Self>, told: &mut Told<'_>) -> Result<Report, SubsystemError> {
        let mut whole = Report::default();
        for (id, plan) in self.parts {
            match plan.execute(told) {
                Ok(part) => {
                    whole.done.extend(part.done);
                    whole.warnings.extend(part.warnings);
                    whole.failed.extend(part.failed);
                    whole.left |= part.left;
                }
                Err(error) => whole.failed.push(Failure { target: id.to_owned(), error: Box::new(error) }),
            }
        }
        Ok(whole)
    }
}
