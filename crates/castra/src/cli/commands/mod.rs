//! The verbs, one file each: arguments (their text is the help), then options ─► operation ─► answer.

mod bootstrap;
pub(super) mod broker;
mod bus;
mod clean;
mod console;
mod cp;
mod doctor;
mod down;
mod exec;
mod image;
mod init;
mod interrupted;
mod logs;
mod ports;
mod run_program;
mod schema;
mod shell;
mod ssh;
mod ssh_config;
mod status;
mod up;

use clap::Subcommand;
use plasmavmc_cli::OwnCommand;

use super::args::Args;
use super::error::CliError;
use super::face::Face;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Up(up::UpArgs),
    Status(status::StatusArgs),
    Down(down::DownArgs),
    Ports(ports::PortsArgs),
    Logs(logs::LogsArgs),
    Bootstrap(bootstrap::BootstrapArgs),
    Ssh(ssh::SshArgs),
    SshConfig(ssh_config::SshConfigArgs),
    Exec(exec::ExecArgs),
    Shell(shell::ShellArgs),
    Cp(cp::CpArgs),
    Bus(bus::BusArgs),
    Console(console::ConsoleArgs),
    Clean(clean::CleanArgs),
    Image(image::ImageArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    #[command(flatten)]
    Own(OwnCommand),
}

/// Runs a command; tells the exit code of one that did what it was asked to.
pub(crate) fn run(command: &Command, face: &Face) -> Result<u8, CliError> {
    match command {
        Command::Init(args) => init::run(args, face),
        Command::Up(args) => up::run(args, face),
        Command::Status(args) => status::run(args, face),
        Command::Down(args) => down::run(args, face),
        Command::Ports(args) => ports::run(args, face),
        Command::Logs(args) => logs::run(args, face),
        Command::Bootstrap(args) => bootstrap::run(args, face),
        Command::Ssh(args) => ssh::run(args, face),
        Command::SshConfig(args) => ssh_config::run(args, face),
        Command::Exec(args) => exec::run(args, face),
        Command::Shell(args) => shell::run(args, face),
        Command::Cp(args) => cp::run(args, face),
        Command::Bus(args) => bus::run(args, face),
        Command::Console(args) => console::run(args, face),
        Command::Clean(args) => clean::run(args, face),
        Command::Image(args) => image::run(args, face),
        Command::Doctor(args) => doctor::run(args, face),
        Command::Schema(args) => schema::run(args, face),
        Command::Own(command) => Ok(command.run::<Args>(face.voice)?),
    }
}
