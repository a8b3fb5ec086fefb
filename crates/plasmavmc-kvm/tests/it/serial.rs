//! The serial console: logged whether or not anyone is connected, and interactive when someone is.

use std::io::{Read, Write};

use plasmavmc_host::socket::{self, Connected};
use plasmavmc_hypervisor::{HypervisorBackend, StopMethod, block_on};

use crate::bench::{Bench, PATIENCE};
use castra_testkit::eventually;

#[test]
fn a_console_is_interactive_and_its_log_has_everything() {
    let bench = Bench::new();
    bench.start_obedient("web");
    assert_eq!(bench.said("web"), b"U", "what was said before anyone connected");
    for word in [b"one", b"two"] {
        let connected = socket::connect(bench.layout().root(), "web.serial").unwrap();
        let Connected::Stream(mut console) = connected else { panic!("not connected") };
        console.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut echo = [0; 3];
        for (byte, echoed) in word.iter().zip(echo.chunks_mut(1)) {
            // One at a time: the guest looks at its line now and then only.
            console.write_all(&[*byte]).unwrap();
            console.read_exact(echoed).unwrap();
        }
        assert_eq!(echo, *word);
    }
    eventually("the log", || bench.said("web") == b"Uonetwo");
}

#[test]
fn a_second_run_goes_on_in_the_same_log() {
    let bench = Bench::new();
    for runs in 1..=2 {
        let (vm, _) = bench.start_obedient("web");
        assert_eq!(bench.said("web"), vec![b'U'; runs]);
        block_on(bench.backend.stop_vm(&vm, StopMethod::Kill)).unwrap();
        bench.wait_stopped(&vm);
    }
}
