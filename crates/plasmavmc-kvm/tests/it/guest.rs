//! A guest of one sector that reacts to its power button and its serial line.

/// A disk whose boot sector says `U` on the serial line, then echoes what it is sent, powers off
/// when it is sent `q` or its power button is pressed, and otherwise waits.
///
/// Ports: COM1 at 0x3f8; ACPI PM1 status, enable and control at 0x600, 0x602 and 0x604, where
/// SeaBIOS puts them on `q35`.
pub(crate) fn obedient_disk() -> Vec<u8> {
    #[rustfmt::skip]
    let code = [
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
    let mut disk = halting_disk();
    disk[..code.len()].copy_from_slice(&code);
    disk
}

/// A disk whose boot sector turns interrupts off and halts: it reacts to nothing.
pub(crate) fn halting_disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    // cli; hlt; jmp to the hlt
    disk[..4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}
