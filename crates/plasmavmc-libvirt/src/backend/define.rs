//! Defining and forgetting a VM. Never touches a domain that is not ours. Tests: the conformance suite,
//! `tests/it/backend.rs`.

use plasmavmc_hypervisor::Error;
use plasmavmc_types::{VmHandle, VmSpec};

use super::fault::{self, DomainFault};
use super::{LibvirtBackend, offer, record, render};
use crate::virsh::Observed;

impl LibvirtBackend {
    /// Defines a VM, or redefines a stopped one of ours.
    pub(super) fn create(&self, spec: &VmSpec) -> Result<VmHandle, Error> {
        let kind = offer::check(spec, self.facts()?, &self.accelerators)?;
        let vm = VmHandle { id: spec.id, name: spec.name.clone() };
        let domains = self.connection.reader().observe();
        let domains = domains.map_err(fault::during(&spec.name, "look for it"))?;
        let known =
            in_its_place(spec, &domains).map_err(|source| fault::domain(&spec.name, "define it", source))?;
        if let Some(known) = known {
            let same =
                record::read(&known.inactive).and_then(|it| it.spec.ok()).is_some_and(|it| it == *spec);
            if same {
                return Ok(vm);
            }
            if known.state.is_active() {
                let state = super::find::vm_state(known.state);
                return Err(Error::WrongState { vm: vm.name, state, action: "redefined" });
            }
        }
        let xml = render::domain(spec, kind, known.map(|known| &known.inactive));
        let xml = xml.map_err(fault::host("write a domain's XML"))?;
        let defined = self.connection.writer().define(&xml, true);
        defined.map_err(fault::during(&spec.name, "define it"))?;
        Ok(vm)
    }

    /// Forgets a stopped VM and what libvirt keeps of it. Its disks stay.
    pub(super) fn delete(&self, vm: &VmHandle) -> Result<(), Error> {
        let found = match self.find(vm) {
            Err(Error::UnknownVm { .. }) => return Ok(()),
            found => found?,
        };
        let state = found.vm_state();
        if state.is_live() {
            return Err(Error::WrongState { vm: found.name, state, action: "deleted" });
        }
        match self.connection.writer().undefine_wholly(found.id).map_err(fault::during(&vm.name, "delete it"))
        {
            Err(Error::UnknownVm { .. }) => Ok(()),
            result => result,
        }
    }
}

/// The domain that a spec would replace; none where there is none.
///
/// # Errors
/// [`DomainFault`] where the name or the UUID belongs to another.
fn in_its_place<'o>(spec: &VmSpec, domains: &'o [Observed]) -> Result<Option<&'o Observed>, DomainFault> {
    let by_name = domains.iter().find(|domain| domain.name == spec.name.as_str());
    let by_id = domains.iter().find(|domain| domain.id == spec.id);
    if let Some(other) = by_name.filter(|domain| domain.id != spec.id) {
        let ours = record::read(&other.inactive).is_some();
        return Err(if ours { DomainFault::OtherIdentity } else { DomainFault::NameTaken });
    }
    let Some(domain) = by_id else { return Ok(None) };
    if domain.name != spec.name.as_str() || record::read(&domain.inactive).is_none() {
        return Err(DomainFault::IdTaken { name: domain.name.clone() });
    }
    Ok(Some(domain))
}
