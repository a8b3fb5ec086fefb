//! The half of libvirt that cannot change anything.
//!
//! Every question goes through `virsh -r`: libvirt itself refuses a reader what would change a domain, so a
//! plan cannot write, whatever is asked. Never asks for secrets, which a reader is refused too.
//! Tests: `tests/it/`.

use plasmavmc_host::exec::Dialogue;
use plasmavmc_types::VmId;

use super::program::Access;
use super::session::{Answers, Session};
use super::{Connection, DomainState, NetworkState, Observed, VirshError, parse};
use crate::domain::DomainXml;
use crate::xml;

/// Domains that are asked for within one bound: libvirt answers for thousands a second.
const BATCH: usize = 100;

/// Reads what libvirt has.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'c> {
    connection: &'c Connection,
}

/// What the lists of all domains say.
struct Lists {
    all: Vec<VmId>,
    autostart: Vec<VmId>,
    managed_save: Vec<VmId>,
    transient: Vec<VmId>,
    snapshots: Vec<VmId>,
    checkpoints: Vec<VmId>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// The URI as libvirt itself tells it, with what was left open filled in. Asked once.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn uri(&self) -> Result<String, VirshError> {
        if let Some(known) = self.connection.canonical.get() {
            return Ok(known.clone());
        }
        let action = "tell its URI";
        let bound = self.connection.question_bound;
        let uri = self.connection.run(Access::Read, action, &["uri"], &[], bound)?;
        self.remember(uri.trim());
        Ok(uri.trim().to_owned())
    }

    /// Every domain, in the order of their names. One virsh process, however many there are.
    ///
    /// A domain that goes while they are read is left out; one that comes may be.
    ///
    /// # Errors
    /// [`VirshError`]; nothing is guessed where an answer is missing.
    pub fn observe(&self) -> Result<Vec<Observed>, VirshError> {
        let mut session = Session::open(self.connection, Access::Read)?;
        let lists = self.lists(&mut session)?;
        let mut observed = Vec::with_capacity(lists.all.len());
        for ids in lists.all.chunks(BATCH) {
            observed.extend(self.batch(&mut session, ids, &lists)?);
        }
        observed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(observed)
    }

    /// One domain; none where there is none with that UUID.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn observe_one(&self, id: VmId) -> Result<Option<Observed>, VirshError> {
        let mut session = Session::open(self.connection, Access::Read)?;
        let lists = self.lists(&mut session)?;
        if !lists.all.contains(&id) {
            return Ok(None);
        }
        Ok(self.batch(&mut session, &[id], &lists)?.pop())
    }

    /// What a domain will be at its next cold boot; none where there is none with that UUID.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn inactive(&self, id: VmId) -> Result<Option<DomainXml>, VirshError> {
        let text = self.ask_one(id, "show a domain's XML", format!("dumpxml --inactive {id}"))?;
        text.map(|text| self.domain_xml(id, text)).transpose()
    }

    /// The state of a domain and why it is in it; none where there is none with that UUID.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn state(&self, id: VmId) -> Result<Option<(DomainState, String)>, VirshError> {
        let action = "tell a domain's state";
        let text = self.ask_one(id, action, format!("domstate --reason {id}"))?;
        let state = text.map(|text| parse::state(&text)).transpose();
        state.map_err(|why| self.connection.garbage(action, why))
    }

    /// Every network, in the order of their names.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn networks(&self) -> Result<Vec<NetworkState>, VirshError> {
        let action = "list its networks";
        let mut session = Session::open(self.connection, Access::Read)?;
        let lists = ["net-list --all --uuid", "net-list --uuid", "net-list --all --autostart --uuid"];
        let answers = session.ask(action, &lists.map(str::to_owned))?;
        self.refuse(action, &answers.complaints)?;
        let [all, active, autostart] = self.id_lists(action, &answers)?;
        let dumps: Vec<String> = all.iter().map(|id| format!("net-dumpxml --inactive {id}")).collect();
        let answers = session.ask(action, &dumps)?;
        let mut networks = Vec::new();
        for (id, text) in all.iter().zip(&answers.texts).filter(|(_, text)| !text.is_empty()) {
            let garbage = || self.connection.garbage(action, "a network's XML cannot be read");
            let document = xml::read(text).map_err(|_| garbage())?;
            let root = document.root_element();
            networks.push(NetworkState {
                name: xml::child(root, "name").map(xml::text).ok_or_else(garbage)?,
                active: active.contains(id),
                autostart: autostart.contains(id),
                bridge: xml::child(root, "bridge").and_then(|it| it.attribute("name")).map(str::to_owned),
            });
        }
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// A virsh that writes what libvirt reports of a domain, a line each, for as long as it is kept.
    pub(crate) fn watch(&self, id: VmId) -> Result<Dialogue, VirshError> {
        let mut command = self.connection.command(Access::Read);
        command.args(["event", "--domain", &id.to_string(), "--all", "--loop"]);
        Dialogue::start(command).map_err(|source| VirshError::Host { source })
    }

    /// What `virsh version` and `virsh capabilities` print.
    pub(crate) fn version_and_capabilities(&self) -> Result<(String, String), VirshError> {
        let action = "tell what it can do";
        let mut session = Session::open(self.connection, Access::Read)?;
        let answers = session.ask(action, &["version", "capabilities"].map(str::to_owned))?;
        self.refuse(action, &answers.complaints)?;
        let texts: [String; 2] = answers.texts.try_into().unwrap_or_default();
        let [version, capabilities] = texts;
        Ok((version, capabilities))
    }

    /// Which machine this libvirt is on: its host name, and the UUID it has of its host where it tells one.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn machine(&self) -> Result<(String, Option<String>), VirshError> {
        let action = "tell its host's name";
        let mut session = Session::open(self.connection, Access::Read)?;
        let answers = session.ask(action, &["hostname", "capabilities"].map(str::to_owned))?;
        self.refuse(action, &answers.complaints)?;
        let texts: [String; 2] = answers.texts.try_into().unwrap_or_default();
        let [hostname, capabilities] = texts;
        let garbage = || self.connection.garbage(action, "its capabilities cannot be read");
        let document = xml::read(&capabilities).map_err(|_| garbage())?;
        let host = xml::child(document.root_element(), "host");
        let uuid = host.and_then(|host| xml::child(host, "uuid")).map(xml::text);
        Ok((hostname.trim().to_owned(), uuid))
    }

    /// What `domcapabilities` prints for each kind of domain; empty where libvirt has no such kind. libvirt
    /// refuses this to readers, so the connection may write: the commands are fixed here.
    pub(crate) fn domain_capabilities(
        &self,
        kinds: &[&str],
        machine: &str,
    ) -> Result<Vec<String>, VirshError> {
        let action = "tell what its domains can have";
        let mut session = Session::open(self.connection, Access::Write)?;
        let question = |kind: &&str| format!("domcapabilities --virttype {kind} --machine {machine}");
        let commands: Vec<String> = kinds.iter().map(question).collect();
        let answers = session.ask(action, &commands)?;
        // A kind that is not offered here is a complaint too; one that is answers for the connection.
        if answers.texts.iter().all(String::is_empty) {
            self.refuse(action, &answers.complaints)?;
        }
        Ok(answers.texts)
    }

    fn lists(&self, session: &mut Session<'_>) -> Result<Lists, VirshError> {
        let action = "list its domains";
        let commands = [
            "uri",
            "list --all --uuid",
            "list --all --uuid --autostart",
            "list --all --uuid --with-managed-save",
            "list --all --uuid --transient",
            "list --all --uuid --with-snapshot",
            "list --all --uuid --with-checkpoint",
        ];
        let mut answers = session.ask(action, &commands.map(str::to_owned))?;
        self.refuse(action, &answers.complaints)?;
        let uri = answers.texts.remove(0);
        self.remember(&uri);
        let [all, autostart, managed_save, transient, snapshots, checkpoints] =
            self.id_lists(action, &answers)?;
        Ok(Lists { all, autostart, managed_save, transient, snapshots, checkpoints })
    }

    fn id_lists<const N: usize>(
        &self,
        action: &'static str,
        answers: &Answers,
    ) -> Result<[Vec<VmId>; N], VirshError> {
        let garbage = |why| self.connection.garbage(action, why);
        let lists: Result<Vec<_>, _> = answers.texts.iter().map(|text| parse::ids(text)).collect();
        lists.map_err(garbage)?.try_into().map_err(|_| garbage("a list is missing"))
    }

    /// The domains of one batch that are still there.
    fn batch(
        &self,
        session: &mut Session<'_>,
        ids: &[VmId],
        lists: &Lists,
    ) -> Result<Vec<Observed>, VirshError> {
        let action = "show its domains";
        let both = |id: &VmId| [format!("domstate --reason {id}"), format!("dumpxml --inactive {id}")];
        let answers = self.ask_of(session, action, ids, &ids.iter().flat_map(both).collect::<Vec<_>>())?;
        let mut observed = Vec::with_capacity(ids.len());
        for (&id, texts) in ids.iter().zip(answers.chunks(2)) {
            let [state, inactive] = texts else { continue };
            if state.is_empty() || inactive.is_empty() {
                continue;
            }
            let (state, reason) = parse::state(state).map_err(|why| self.connection.garbage(action, why))?;
            let inactive = self.domain_xml(id, inactive.clone())?;
            observed.push(Observed {
                id,
                name: self.name(id, &inactive)?,
                state,
                reason,
                persistent: !lists.transient.contains(&id),
                autostart: lists.autostart.contains(&id),
                managed_save: lists.managed_save.contains(&id),
                snapshots: lists.snapshots.contains(&id),
                checkpoints: lists.checkpoints.contains(&id),
                inactive,
                live: None,
            });
        }
        self.add_live(session, &mut observed)?;
        Ok(observed)
    }

    /// Reads what the domains that run are now.
    fn add_live(&self, session: &mut Session<'_>, observed: &mut [Observed]) -> Result<(), VirshError> {
        let active: Vec<&mut Observed> =
            observed.iter_mut().filter(|domain| domain.state.is_active()).collect();
        let ids: Vec<VmId> = active.iter().map(|domain| domain.id).collect();
        let dumps: Vec<String> = ids.iter().map(|id| format!("dumpxml {id}")).collect();
        let texts = self.ask_of(session, "show its domains", &ids, &dumps)?;
        for (domain, text) in active.into_iter().zip(texts).filter(|(_, text)| !text.is_empty()) {
            // One that stopped in between shows its next boot instead, which has no number.
            let running = xml::read(&text).is_ok_and(|xml| xml.root_element().has_attribute("id"));
            if running {
                domain.live = Some(self.domain_xml(domain.id, text)?);
            } else {
                (domain.state, domain.reason) = (DomainState::ShutOff, "unknown".to_owned());
            }
        }
        Ok(())
    }

    /// Asks one thing of one domain; none where it is not there.
    fn ask_one(&self, id: VmId, action: &'static str, command: String) -> Result<Option<String>, VirshError> {
        let mut session = Session::open(self.connection, Access::Read)?;
        let text = self.ask_of(&mut session, action, &[id], &[command])?.pop();
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Asks of domains, any of which may have gone meanwhile: its answers are empty then.
    ///
    /// What virsh says of one that has gone, it also says where the daemon went: so the list decides.
    fn ask_of(
        &self,
        session: &mut Session<'_>,
        action: &'static str,
        ids: &[VmId],
        commands: &[String],
    ) -> Result<Vec<String>, VirshError> {
        let answers = session.ask(action, commands)?;
        let (gone, other) = parse::gone(&answers.complaints, ids);
        self.refuse(action, &other)?;
        if !gone.is_empty() {
            let lists = session.ask(action, &["list --all --uuid".to_owned()])?;
            self.refuse(action, &lists.complaints)?;
            let [there] = self.id_lists(action, &lists)?;
            if gone.iter().any(|id| there.contains(id)) {
                self.refuse(action, &answers.complaints)?;
            }
        }
        Ok(answers.texts)
    }

    fn refuse(&self, action: &'static str, complaints: &[String]) -> Result<(), VirshError> {
        if complaints.is_empty() {
            return Ok(());
        }
        Err(VirshError::from_complaints(self.connection, action, complaints))
    }

    fn domain_xml(&self, id: VmId, text: String) -> Result<DomainXml, VirshError> {
        DomainXml::parse(text).map_err(|source| self.xml_error(id, source))
    }

    fn name(&self, id: VmId, xml: &DomainXml) -> Result<String, VirshError> {
        let missing = || xml::XmlError::Missing { path: "name" };
        let document = xml::read(xml.as_str()).map_err(|source| self.xml_error(id, source))?;
        let name = xml::child(document.root_element(), "name").and_then(|name| name.text());
        // As it stands: white space around it belongs to it.
        name.map(str::to_owned).ok_or_else(|| self.xml_error(id, missing()))
    }

    fn xml_error(&self, id: VmId, source: xml::XmlError) -> VirshError {
        VirshError::Xml { uri: self.connection.shown_uri(), id, source }
    }

    fn remember(&self, uri: &str) {
        if !uri.is_empty() {
            let _ = self.connection.canonical.set(uri.to_owned());
        }
    }
}
