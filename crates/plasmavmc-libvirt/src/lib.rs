//! The libvirt backend: domain XML read, edited and written without loss, and `virsh`.
//!
//! ```text
//! virsh dumpxml ─► DomainXml ─► project ─► Domain {fields, facts, mark}      (pure)
//!                      │                        │ a plan decides
//!                      └──► edit ◄── Edit[] ◄───┘
//!                            └─► DomainXml ─► virsh define                   (one file names the program)
//! ```
//!
//! Owns: what a domain's XML means in the terms of a manifest ([`domain`]), changing one field of it and
//! nothing else, and the only file that names `virsh`. Never does: decide what is to change (that is the
//! face's), read a manifest, print. Tests: in each file; `tests/` talks to libvirt and to its own corpus.

pub mod backend;
pub mod domain;
pub mod facts;
pub mod virsh;
pub mod xml;
