//! Puts kernel modules in the order they have to be loaded in, and writes `modules.dep`.
//!
//! Pure: the dependencies come from the caller, who reads them from the modules themselves.
//! Tests: below.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Modules with what they depend on, in an order that loads: dependencies come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LoadOrder {
    order: Vec<String>,
    depends: BTreeMap<String, Vec<String>>,
}

/// Why modules cannot be ordered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrderError<E> {
    /// Modules that need each other, by way of `module`.
    #[error("kernel module `{module}` depends on itself")]
    Cycle {
        /// One of them.
        module: String,
    },
    /// The caller could not tell what a module depends on.
    #[error(transparent)]
    Depends(E),
}

impl LoadOrder {
    /// The `wanted` modules and everything they depend on, as told by `depends_of`, which is asked
    /// once for each module.
    pub(super) fn resolve<E>(
        wanted: &[&str],
        depends_of: &mut dyn FnMut(&str) -> Result<Vec<String>, E>,
    ) -> Result<Self, OrderError<E>> {
        let mut resolved = Self::default();
        for module in wanted {
            resolved.visit(&canonical(module), depends_of)?;
        }
        Ok(resolved)
    }

    fn visit<E>(
        &mut self,
        module: &str,
        depends_of: &mut dyn FnMut(&str) -> Result<Vec<String>, E>,
    ) -> Result<(), OrderError<E>> {
        if self.depends.contains_key(module) {
            // Known but not placed yet: it is one of those whose dependencies are being visited.
            return match self.order.iter().any(|placed| placed == module) {
                true => Ok(()),
                false => Err(OrderError::Cycle { module: module.to_owned() }),
            };
        }
        let depends: Vec<_> =
            depends_of(module).map_err(OrderError::Depends)?.iter().map(|name| canonical(name)).collect();
        self.depends.insert(module.to_owned(), depends.clone());
        for dependency in &depends {
            self.visit(dependency, depends_of)?;
        }
        self.order.push(module.to_owned());
        Ok(())
    }

    /// Everything `module` depends on, directly or not, in an order that loads.
    fn all_depends(&self, module: &str) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        let mut open: Vec<&str> =
            self.depends.get(module).into_iter().flatten().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            if !found.contains(&next) {
                found.push(next);
                open.extend(self.depends.get(next).into_iter().flatten().map(String::as_str));
            }
        }
        self.order.iter().map(String::as_str).filter(|placed| found.contains(placed)).collect()
    }

    /// The text of `modules.dep`, as `depmod` writes it: a line for each file, with what has to be
    /// loaded before it, the last one first. Every module's file is `<module>.ko`.
    pub(super) fn modules_dep(&self) -> String {
        let mut text = String::new();
        for module in &self.order {
            let _ = write!(text, "{module}.ko:");
            for dependency in self.all_depends(module).iter().rev() {
                let _ = write!(text, " {dependency}.ko");
            }
            text.push('\n');
        }
        text
    }
}

/// The name the kernel knows a module by: `virtio-rng` is `virtio_rng`.
pub(super) fn canonical(module: &str) -> String {
    module.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depends(table: &[(&str, &[&str])], module: &str) -> Result<Vec<String>, String> {
        let row = table.iter().find(|(name, _)| *name == module);
        row.map(|(_, depends)| depends.iter().map(|name| (*name).to_owned()).collect())
            .ok_or_else(|| module.to_owned())
    }

    const TABLE: &[(&str, &[&str])] = &[
        ("virtio_blk", &["virtio", "virtio_ring"]),
        ("virtio_ring", &["virtio"]),
        ("virtio", &[]),
        ("virtio_net", &["net-failover", "virtio_ring", "virtio"]),
        ("net_failover", &["failover"]),
        ("failover", &[]),
    ];

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let order =
            LoadOrder::resolve(&["virtio-blk", "virtio_net"], &mut |module| depends(TABLE, module)).unwrap();
        assert_eq!(
            order.order,
            ["virtio", "virtio_ring", "virtio_blk", "failover", "net_failover", "virtio_net"]
        );
        assert_eq!(
            order.modules_dep(),
            "virtio.ko:\n\
             virtio_ring.ko: virtio.ko\n\
             virtio_blk.ko: virtio_ring.ko virtio.ko\n\
             failover.ko:\n\
             net_failover.ko: failover.ko\n\
             virtio_net.ko: net_failover.ko failover.ko virtio_ring.ko virtio.ko\n"
        );
    }

    #[test]
    fn a_cycle_and_a_missing_module_are_told() {
        let cycle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["a"])];
        let error = LoadOrder::resolve(&["a"], &mut |module| depends(cycle, module)).unwrap_err();
        assert_eq!(error, OrderError::Cycle { module: "a".to_owned() });
        let error = LoadOrder::resolve(&["virtio_fs"], &mut |module| depends(TABLE, module)).unwrap_err();
        assert_eq!(error, OrderError::Depends("virtio_fs".to_owned()));
    }

    proptest! {
        /// Modules that depend on ones with a lower number only, so that an order exists.
        #[test]
        fn every_order_loads(
            edges in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 1..20),
            wanted in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        ) {
            let depends = |number: usize| -> Vec<usize> {
                edges[number].iter().filter(|_| number > 0).map(|index| index.index(number.max(1))).collect()
            };
            let wanted: Vec<String> = wanted.iter().map(|index| format!("m{}", index.index(edges.len()))).collect();
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let order = LoadOrder::resolve::<()>(&wanted, &mut |module| {
                let number: usize = module[1..].parse().expect("names are ours");
                Ok(depends(number).iter().map(|number| format!("m{number}")).collect())
            }).unwrap();
            let place = |name: &str| order.order.iter().position(|placed| placed == name);
            for module in &order.order {
                for dependency in depends(module[1..].parse().unwrap()) {
                    let dependency = format!("m{dependency}");
                    prop_assert!(place(&dependency) < place(module));
                }
            }
            for module in wanted { prop_assert!(place(module).is_some()); }
        }
    }
}
