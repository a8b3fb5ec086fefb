//! Guests of one sector: up within milliseconds of QEMU, for tests that need no operating system.
//!
//! Never does: wait for anything. Tests: the tests that use them.

/// A disk whose boot sector says `U` on the serial line, then echoes what it is sent, powers off
/// when it is sent `q` or its power button is pressed, and otherwise waits.
///
/// Ports: COM1 at 0x3f8; ACPI PM1 status, enable and control at 0x600, 0x602 and 0x604, where
/// SeaBIOS puts them on `q35`.
pub fn obedient_disk() -> Vec<u8> {
    bootable(&OBEDIENT)
}

/// A disk whose boot sector says how often it was booted, from `0`, notes one more on the disk, and
/// then does as that of [`obedient_disk`].
pub fn counting_disk() -> Vec<u8> {
    bootable(&[COUNT.as_slice(), &OBEDIENT].concat())
}

/// Says the counter at `0x7db8`, adds one, and writes the sector back through the BIOS.
#[rustfmt::skip]
const COUNT: [u8; 32] = [
    0x31, 0xc0,             //       xor ax, ax
    0x8e, 0xd8,             //       mov ds, ax
    0x8e, 0xc0,             //       mov es, ax
    0x52,                   //       push dx             ; the drive, as the BIOS left it
    0xba, 0xf8, 0x03,       //       mov dx, 0x3f8
    0xa0, 0xb8, 0x7d,       //       mov al, [0x7db8]
    0xee,                   //       out dx, al
    0x5a,                   //       pop dx
    0xfe, 0x06, 0xb8, 0x7d, //       inc byte [0x7db8]
    0xb8, 0x01, 0x03,       //       mov ax, 0x0301      ; write one sector
    0xbb, 0x00, 0x7c,       //       mov bx, 0x7c00
    0xb9, 0x01, 0x00,       //       mov cx, 1           ; the first
    0x30, 0xf6,             //       xor dh, dh
    0xcd, 0x13,             //       int 0x13
];

/// The boot sector of [`obedient_disk`]; runs wherever it lies.
#[rustfmt::skip]
const OBEDIENT: [u8; 51] = [
    0xfa,                   //       cli
    0xba, 0x02, 0x06,       //       mov dx, 0x602
    0xb8, 0x00, 0x01,       //       mov ax, 1 << 8      ; let the power button be noticed
    0xef,                   //       out dx, ax
    0xba, 0xf8, 0x03,       //       mov dx, 0x3f8
    0xb0, b'U',             //       mov al, 'U'
    0xee,                   //       out dx, al
    0xba, 0x00, 0x06,       // loop: mov dx, 0x600
    0xed,                   //       in ax, dx
    0xf6, 0xc4, 0x01,       //       test ah, 1          ; was it pressed?
    0x75, 0x13,             //       jnz off
    0xba, 0xfd, 0x03,       //       mov dx, 0x3fd
    0xec,                   //       in al, dx
    0xa8, 0x01,             //       test al, 1          ; has a byte arrived?
    0x74, 0xef,             //       jz loop
    0xba, 0xf8, 0x03,       //       mov dx, 0x3f8
    0xec,                   //       in al, dx
    0x3c, b'q',             //       cmp al, 'q'
    0x74, 0x03,             //       je off
    0xee,                   //       out dx, al
    0xeb, 0xe4,             //       jmp loop
    0xba, 0x04, 0x06,       // off:  mov dx, 0x604
    0xb8, 0x00, 0x20,       //       mov ax, 1 << 13     ; sleep state 5
    0xef,                   //       out dx, ax
    0xeb, 0xf7,             //       jmp off
];

/// A disk whose boot sector powers the machine off at once.
pub fn fleeting_disk() -> Vec<u8> {
    bootable(&[
        0xba, 0x04, 0x06, // off:  mov dx, 0x604
        0xb8, 0x00, 0x20, //       mov ax, 1 << 13     ; sleep state 5
        0xef, //                   out dx, ax
        0xeb, 0xf7, //             jmp off
    ])
}

/// A disk whose boot sector turns interrupts off and halts: it reacts to nothing.
pub fn halting_disk() -> Vec<u8> {
    // cli; hlt; jmp to the hlt
    bootable(&[0xfa, 0xf4, 0xeb, 0xfd])
}

/// A disk of 1 MiB that begins with `code`. Byte 440 is where [`COUNT`] keeps its counter.
fn bootable(code: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[440] = b'0';
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}
