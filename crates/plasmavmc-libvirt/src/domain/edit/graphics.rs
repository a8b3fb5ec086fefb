//! Displays, with what belongs to one kind of display alone. Tests: in `tests.rs`.

use roxmltree::Node;

use super::{EditError, add_devices};
use crate::domain::GraphicsKind;
use crate::domain::project::devices;
use crate::domain::render::devices as new;
use crate::xml::{Element, Splices, attr, child};

/// What VNC has room for; libvirt refuses more.
const LONGEST_VNC_PASSWORD: usize = 8;

/// Replaces the displays by one of this kind, or none; one of the kind that is there stays as it is.
pub(super) fn set(
    root: Node<'_, '_>,
    kind: Option<&GraphicsKind>,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let name = match kind {
        Some(GraphicsKind::Spice) => "spice",
        Some(GraphicsKind::Vnc) => "vnc",
        Some(GraphicsKind::Other(other)) => return Err(EditError::NoWord { what: other.clone() }),
        None => "",
    };
    let displays: Vec<_> = devices(root, "graphics").collect();
    let is = |display: &Node<'_, '_>, kind| attr(*display, "type") == Some(kind);
    // One is enough. A display without a window renders for another one, and stays with it.
    let kept = displays.iter().position(|display| is(display, name));
    for (i, display) in displays.iter().enumerate() {
        if Some(i) != kept && !(kind.is_some() && is(display, "egl-headless")) {
            splices.remove(*display);
        }
    }
    let mut added: Vec<Element> = Vec::new();
    if let (None, Some(kind)) = (kept, kind) {
        let password = displays.iter().find_map(|display| attr(*display, "passwd"));
        added.extend(display(kind, password)?);
        show_video(root, splices);
        let has_agent = devices(root, "channel").any(|channel| is(&channel, "spicevmc"));
        if name == "spice" && !has_agent {
            added.push(new::channel("spicevmc", "com.redhat.spice.0"));
        }
    }
    if name != "spice" && displays.iter().any(|display| is(display, "spice")) {
        let renders = displays.iter().any(|display| is(display, "egl-headless"));
        without_spice(root, kind.is_some() && renders, splices);
    }
    add_devices(root, &added, splices)
}

/// A new display, which asks for the password of the old one.
fn display(kind: &GraphicsKind, password: Option<&str>) -> Result<Option<Element>, EditError> {
    let display = new::graphics(kind);
    let Some(password) = password else { return Ok(display) };
    if *kind == GraphicsKind::Vnc && password.len() > LONGEST_VNC_PASSWORD {
        return Err(EditError::LongPassword);
    }
    Ok(display.map(|display| display.attr("passwd", password)))
}

/// A display needs something to show: a graphics card that was none becomes one.
fn show_video(root: Node<'_, '_>, splices: &mut Splices<'_>) {
    for model in devices(root, "video").filter_map(|video| child(video, "model")) {
        if attr(model, "type") == Some("none") {
            splices.set_attribute(model, "type", "virtio");
        }
    }
}

/// Takes away what works over SPICE alone.
fn without_spice(root: Node<'_, '_>, renders: bool, splices: &mut Splices<'_>) {
    for name in ["channel", "redirdev", "smartcard", "serial", "parallel", "console"] {
        for device in devices(root, name) {
            if matches!(attr(device, "type"), Some("spicevmc" | "spiceport")) {
                splices.remove(device);
            }
        }
    }
    if !devices(root, "redirdev").any(|device| attr(device, "type") != Some("spicevmc")) {
        devices(root, "redirfilter").for_each(|filter| splices.remove(filter));
    }
    for audio in devices(root, "audio").filter(|audio| attr(*audio, "type") == Some("spice")) {
        // A sound card may name it.
        splices.set_attribute(audio, "type", "none");
        audio.children().filter(Node::is_element).for_each(|node| splices.remove(node));
    }
    for model in devices(root, "video").filter_map(|video| child(video, "model")) {
        if attr(model, "type") == Some("qxl") {
            splices.set_attribute(model, "type", "virtio");
            for name in ["ram", "vram", "vram64", "vgamem"] {
                splices.remove_attribute(model, name);
            }
        }
        // SPICE rendered for it.
        if let Some(acceleration) = child(model, "acceleration")
            && !renders
            && attr(acceleration, "accel3d") == Some("yes")
        {
            splices.set_attribute(acceleration, "accel3d", "no");
        }
    }
}
