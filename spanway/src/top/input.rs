//! Keys, and changes of the terminal's size.

use crossterm::event::{Event, read as read_event};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Reads on a thread of its own, which ends with the process: a terminal cannot be waited for in another way that works everywhere.
pub(super) fn read() -> UnboundedReceiver<Event> {
    let (sender, events) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = read_event() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    events
}
