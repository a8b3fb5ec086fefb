//! The guest that proves an accelerator: one boot sector of our own. Pure.
//!
//! SeaBIOS loads it to 0x7c00 in real mode. It enters protected mode, then long mode with paging,
//! and turns a loop [`TURNS`] times that multiplies, adds, and reads and writes 64 KiB of memory.
//! Then it compares the 64-bit result with [`ANSWER`], tells QEMU's
//! `isa-debug-exit` device [`RIGHT`] or [`WRONG`], and so ends QEMU with a status nothing else has.
//! An accelerator that cannot switch modes, page, calculate or run fast enough shows in one run.
//!
//! Memory it uses: page tables at 0x1000 to 0x3fff, the buffer at 0x10000 to 0x1ffff. Tests: below,
//! and on real QEMU in `measure.rs`.

/// Turns of the loop. TCG needs some 120 ms for them, as long as QEMU needs to start and load them:
/// enough to stand out from an accelerator that runs them natively in 20 ms, and little enough to
/// end within the bound on a host with other work.
pub(super) const TURNS: u32 = 10_000_000;

/// The loop's result after [`TURNS`]; a test calculates it again.
pub(super) const ANSWER: u64 = 0x0d98_dc8e_b207_ba5e;

/// What the guest reports when its result is [`ANSWER`].
pub(super) const RIGHT: u8 = 0x2a;
/// What the guest reports when it is not.
pub(super) const WRONG: u8 = 0x15;
/// The I/O port of the `isa-debug-exit` device.
pub(super) const EXIT_PORT: u8 = 0xf4;

/// Bytes of the disk that carries the boot sector. SeaBIOS does not boot a virtio disk of a single
/// sector.
pub(super) const DISK_LEN: u64 = 1 << 20;

/// The status QEMU exits with when the guest reports `value` (QEMU, `hw/misc/debugexit.c`).
pub(super) const fn exit_status(value: u8) -> i32 {
    ((value as i32) << 1 | 1) & 0xff
}

/// Where the number of turns stands in the code.
const TURNS_AT: usize = 0x83;
/// Where the expected answer stands in the code.
const ANSWER_AT: usize = 0xbf;

/// Intel syntax beside each instruction. Addresses in it are offsets from 0x7c00.
#[rustfmt::skip]
const CODE: [u8; 0xfe] = [
    // Real mode, 16 bits: flat segments, a stack, three empty page tables at 0x1000.
    0xfa,                                     // 00  cli
    0xfc,                                     // 01  cld
    0x66, 0x31, 0xc0,                         // 02  xor eax, eax
    0x8e, 0xd8,                               // 05  mov ds, ax
    0x8e, 0xc0,                               // 07  mov es, ax
    0x8e, 0xd0,                               // 09  mov ss, ax
    0xbc, 0x00, 0x7c,                         // 0b  mov sp, 0x7c00
    0xbf, 0x00, 0x10,                         // 0e  mov di, 0x1000
    0xb9, 0x00, 0x0c,                         // 11  mov cx, 0xc00      ; 3 tables in dwords
    0x66, 0xf3, 0xab,                         // 14  rep stosd
    // The first 2 MiB mapped one to one: PML4 -> PDPT -> one large page, present and writable.
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,       // 17  mov word [0x1000], 0x2003
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,       // 1d  mov word [0x2000], 0x3003
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,       // 23  mov word [0x3000], 0x0083
    0x0f, 0x01, 0x16, 0xf8, 0x7c,             // 29  lgdt [gdtr]
    0x0f, 0x20, 0xc0,                         // 2e  mov eax, cr0
    0x0c, 0x01,                               // 31  or al, 1           ; protected mode
    0x0f, 0x22, 0xc0,                         // 33  mov cr0, eax
    0xea, 0x3b, 0x7c, 0x08, 0x00,             // 36  jmp 0x08:protected
    // protected: 32 bits. Physical address extension, page tables, long mode, paging.
    0x66, 0xb8, 0x10, 0x00,                   // 3b  mov ax, 0x10
    0x8e, 0xd8,                               // 3f  mov ds, ax
    0x8e, 0xc0,                               // 41  mov es, ax
    0x8e, 0xd0,                               // 43  mov ss, ax
    0x0f, 0x20, 0xe0,                         // 45  mov eax, cr4
    0x0c, 0x20,                               // 48  or al, 0x20        ; PAE
    0x0f, 0x22, 0xe0,                         // 4a  mov cr4, eax
    0xb8, 0x00, 0x10, 0x00, 0x00,             // 4d  mov eax, 0x1000
    0x0f, 0x22, 0xd8,                         // 52  mov cr3, eax
    0xb9, 0x80, 0x00, 0x00, 0xc0,             // 55  mov ecx, 0xc0000080 ; EFER
    0x0f, 0x32,                               // 5a  rdmsr
    0x80, 0xcc, 0x01,                         // 5c  or ah, 1           ; LME
    0x0f, 0x30,                               // 5f  wrmsr
    0x0f, 0x20, 0xc0,                         // 61  mov eax, cr0
    0x0d, 0x00, 0x00, 0x00, 0x80,             // 64  or eax, 0x80000000 ; PG
    0x0f, 0x22, 0xc0,                         // 69  mov cr0, eax
    0xea, 0x73, 0x7c, 0x00, 0x00, 0x18, 0x00, // 6c  jmp 0x18:long
    // long: 64 bits. Clear the buffer, then the loop: rax is the result, ecx the turns left.
    0xbf, 0x00, 0x00, 0x01, 0x00,             // 73  mov edi, 0x10000
    0xb9, 0x00, 0x20, 0x00, 0x00,             // 78  mov ecx, 0x2000    ; 64 KiB in qwords
    0x31, 0xc0,                               // 7d  xor eax, eax
    0xf3, 0x48, 0xab,                         // 7f  rep stosq
    0xb9, 0, 0, 0, 0,                         // 82  mov ecx, TURNS
    0x48, 0xb8, 0x15, 0x7c, 0x4a, 0x7f, 0xb9, 0x79, 0x37, 0x9e, // 87  mov rax, START
    0x48, 0xbb, 0x95, 0xef, 0x82, 0xde, 0x43, 0x25, 0x34, 0xd1, // 91  mov rbx, FACTOR
    // turn:
    0x48, 0x0f, 0xaf, 0xc3,                   // 9b  imul rax, rbx
    0x48, 0x01, 0xc8,                         // 9f  add rax, rcx
    0x48, 0x89, 0xc2,                         // a2  mov rdx, rax
    0x48, 0xc1, 0xea, 0x33,                   // a5  shr rdx, 51
    0x48, 0x33, 0x04, 0xd5, 0x00, 0x00, 0x01, 0x00, // a9  xor rax, [rdx*8 + 0x10000]
    0x48, 0x89, 0x04, 0xd5, 0x00, 0x00, 0x01, 0x00, // b1  mov [rdx*8 + 0x10000], rax
    0xff, 0xc9,                               // b9  dec ecx
    0x75, 0xde,                               // bb  jnz turn
    0x48, 0xba, 0, 0, 0, 0, 0, 0, 0, 0,       // bd  mov rdx, ANSWER
    0x48, 0x39, 0xd0,                         // c7  cmp rax, rdx
    0xb0, RIGHT,                              // ca  mov al, RIGHT
    0x74, 0x02,                               // cc  je tell
    0xb0, WRONG,                              // ce  mov al, WRONG
    0xe6, EXIT_PORT,                          // d0  tell: out EXIT_PORT, al
    0xf4,                                     // d2  halt: hlt
    0xeb, 0xfd,                               // d3  jmp halt
    0, 0, 0,                                  // d5  the table below begins at a multiple of 8
    // gdt: nothing, 32-bit code (0x08), data (0x10), 64-bit code (0x18); each of 4 GiB from 0.
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // d8
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00, // e0
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, // e8
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00, // f0
    0x1f, 0x00, 0xd8, 0x7c, 0x00, 0x00,             // f8  gdtr: limit, address
];

/// The boot sector: turns its loop `turns` times and expects `answer`.
pub(super) fn boot_sector(turns: u32, answer: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..CODE.len()].copy_from_slice(&CODE);
    sector[TURNS_AT..TURNS_AT + 4].copy_from_slice(&turns.to_le_bytes());
    sector[ANSWER_AT..ANSWER_AT + 8].copy_from_slice(&answer.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the loop begins with, and multiplies by: any odd numbers would do.
    const START: u64 = 0x9e37_79b9_7f4a_7c15;
    const FACTOR: u64 = 0xd134_2543_de82_ef95;

    /// The result of the guest's loop, calculated here.
    fn answer(turns: u32) -> u64 {
        let mut buffer = vec![0_u64; 8192];
        let mut result = START;
        for left in (1..=turns).rev() {
            result = result.wrapping_mul(FACTOR).wrapping_add(u64::from(left));
            let index = usize::try_from(result >> 51).unwrap();
            result ^= buffer[index];
            buffer[index] = result;
        }
        result
    }

    #[test]
    fn the_expected_answer_is_the_one_its_loop_has() {
        assert_eq!(answer(TURNS), ANSWER);
    }

    #[test]
    fn the_code_holds_its_numbers_where_they_are_filled_in() {
        let find = |word: &[u8]| CODE.windows(word.len()).position(|window| window == word);
        assert_eq!(find(&START.to_le_bytes()), Some(TURNS_AT + 6));
        assert_eq!(find(&FACTOR.to_le_bytes()), Some(TURNS_AT + 16));
        assert_eq!(CODE[TURNS_AT - 1], 0xb9, "mov ecx, imm32");
        assert_eq!(CODE[ANSWER_AT - 2..ANSWER_AT], [0x48, 0xba], "mov rdx, imm64");
        assert_eq!(boot_sector(1, 2)[510..], [0x55, 0xaa]);
        assert_eq!((exit_status(RIGHT), exit_status(WRONG)), (85, 43));
    }
}
