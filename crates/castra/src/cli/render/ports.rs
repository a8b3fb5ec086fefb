//! The answer of `castra ports`.

use plasmavmc_term::{Column, Table};
use plasmavmc_types::Protocol;

use super::style::{BAD, DIM, GOOD, header};
use crate::cli::face::View;
use crate::core::ports::{PortRow, PortState, PortsOutcome};

const LEGEND: &str =
    "active = leads into the guest, free = nobody listens\nconflict = something else holds the port\n";

pub(crate) fn ports(outcome: &PortsOutcome, view: View) -> String {
    let mut text = String::new();
    for workspace in outcome.workspaces.iter().filter(|workspace| !workspace.forwards.is_empty()) {
        text.push_str(&header(&workspace.project, workspace.id.as_str()));
        let mut table = Table::new(["VM", "HOST", "GUEST", "STATE", "HELD BY"].map(Column::text));
        for row in &workspace.forwards {
            let style = match row.state {
                PortState::Active => GOOD,
                PortState::Free => DIM,
                PortState::Conflict => BAD,
            };
            table.styled_row(cells(row), 3, style);
        }
        text.push_str(&table.render(view.width));
        text.push('\n');
    }
    if text.is_empty() {
        return "No VM forwards a port: `port_forwards` in castra.toml does\n".to_owned();
    }
    text.push_str(LEGEND);
    text
}

fn cells(row: &PortRow) -> [String; 5] {
    let protocol = match row.forward.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let host = std::net::SocketAddr::new(row.forward.address, row.forward.host);
    let state = match row.state {
        PortState::Active => "active",
        PortState::Free => "free",
        PortState::Conflict => "conflict",
    };
    let rivals = row.also_declared_by.iter().map(|vm| format!("wanted by {vm} too"));
    let held: Vec<String> = row.holder.iter().map(ToString::to_string).chain(rivals).collect();
    [
        row.vm.to_string(),
        format!("{host}/{protocol}"),
        row.forward.guest.to_string(),
        state.to_owned(),
        held.join("; "),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{WIDE, forward, plain};
    use super::*;
    use crate::core::ports::{Holder, VmRef, WorkspacePorts};

    #[test]
    fn whoever_holds_a_port_is_named() {
        let other = VmRef {
            workspace: "blog-ba9876543210".parse().unwrap(),
            project: "blog".to_owned(),
            vm: "www".parse().unwrap(),
            root: "/w/blog".into(),
        };
        let row = |host, state, holder, also_declared_by| PortRow {
            vm: "web".parse().unwrap(),
            forward: forward(host, 80),
            state,
            holder,
            also_declared_by,
        };
        let outcome = PortsOutcome {
            workspaces: vec![WorkspacePorts {
                id: "shop-0123456789ab".parse().unwrap(),
                project: "shop".to_owned(),
                forwards: vec![
                    row(2222, PortState::Active, None, Vec::new()),
                    row(8080, PortState::Conflict, Some(Holder::Vm(other.clone())), Vec::new()),
                    row(
                        8081,
                        PortState::Conflict,
                        Some(Holder::Process { pid: 7, command: "nginx".into() }),
                        Vec::new(),
                    ),
                    row(9090, PortState::Free, None, vec![other]),
                ],
            }],
        };
        insta::assert_snapshot!(plain(&ports(&outcome, WIDE)), @r"
        shop  shop-0123456789ab
        VM   HOST                GUEST  STATE     HELD BY
        web  127.0.0.1:2222/tcp  80     active    -
        web  127.0.0.1:8080/tcp  80     conflict  VM `www` of project `blog` (workspace blog-ba9876543210)
        web  127.0.0.1:8081/tcp  80     conflict  process 7 (nginx)
        web  127.0.0.1:9090/tcp  80     free      wanted by VM `www` of project `blog` (workspace blog-ba9876543210) too

        active = leads into the guest, free = nobody listens
        conflict = something else holds the port
        ");
    }

    #[test]
    fn no_forwards_at_all_is_said_so() {
        insta::assert_snapshot!(ports(&PortsOutcome { workspaces: Vec::new() }, WIDE), @"No VM forwards a port: `port_forwards` in castra.toml does");
    }
}
