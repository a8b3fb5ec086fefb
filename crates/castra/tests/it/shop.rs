//! The example `examples/shop`, as its README tells a person to use it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use castra_testkit::{free_port, tiny_full_image, tiny_image};

use crate::env::TestEnv;
use crate::guests::prove_accelerators;

/// How long the web server in the guest may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(30);

/// The example in a world of its own: its images are those of the tests, its port is free.
fn example(port: u16) -> TestEnv {
    let env = TestEnv::new();
    prove_accelerators(&env);
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop")), &env.project());
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let image = |path: &Path| format!("base_image = \"{}\"", path.display());
    let config = config
        .replace("base_image = \"tiny-full\"", &image(&tiny_full_image()))
        .replace("base_image = \"tiny\"", &image(&tiny_image()))
        .replace("host = 8080", &format!("host = {port}"));
    env.write("castra.toml", config);
    env
}

/// Copies a folder of plain files and folders, with their modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a web server on the loopback answers to a request for its first page.
fn page(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(ANSWER_BOUND)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_shop_comes_up_serves_its_page_and_goes_in_five_commands() {
    let port = free_port();
    let env = example(port);
    env.run(&["up"]).succeeded();
    let site = fs::read_to_string(env.project().join("site/index.html")).unwrap();
    assert!(page(port).ends_with(&site), "{}", page(port));

    // The page is edited on the host and seen at once; the guest itself cannot.
    env.write("site/index.html", "edited on the host");
    assert!(page(port).ends_with("edited on the host"));
    env.run(&["exec", "web", "--", "touch", "/srv/site/x"]).failed(1);
    let processes = env.run(&["exec", "web", "--", "ps"]).succeeded().stdout;
    assert!(processes.contains("httpd"), "{processes}");
    env.run(&["exec", "db", "--", "true"]).succeeded();

    env.run(&["down"]).succeeded();
    assert_eq!(env.row("web")["state"], "stopped");
    assert_eq!(env.row("db")["state"], "stopped");
}
