//! What is shown, and what keys do to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::sample::Snapshot;
use super::view::{self, Row, columns};
use crate::cli::top::View;

/// Looks whose rates the graph can show.
const HISTORY: usize = 512;

/// What comes after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Quit,
}

/// How a view is looked at. Each keeps its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Seat {
    /// The column that it is sorted by; `None`: the slowest first.
    pub(super) sort: Option<usize>,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// Id of the selected row; what is at its place when it is gone.
    selected: Option<String>,
    pub(super) at: usize,
    /// The first row that is on the screen.
    pub(super) top: usize,
}

/// Everything on the screen.
#[derive(Debug)]
pub(super) struct App {
    view: View,
    seats: [Seat; 3],
    pub(super) snapshot: Snapshot,
    /// When it was taken; none before the first.
    pub(super) taken: Option<Instant>,
    /// Deliveries into the network a second, the newest last.
    pub(super) history: VecDeque<u64>,
    /// Why the last look failed.
    pub(super) error: Option<String>,
    pub(super) interval: Duration,
    /// The filter is being written.
    pub(super) typing: bool,
    pub(super) help: bool,
    pub(super) paused: bool,
    /// Rows that the table has room for.
    pub(super) room: usize,
}

impl App {
    pub(super) fn new(view: View, interval: Duration) -> Self {
        Self {
            view,
            seats: Default::default(),
            snapshot: Snapshot::default(),
            taken: None,
            history: VecDeque::new(),
            error: None,
            interval,
            typing: false,
            help: false,
            paused: false,
            room: 10,
        }
    }

    pub(super) fn view(&self) -> View {
        self.view
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.seats[self.view as usize]
    }

    pub(super) fn seat_mut(&mut self) -> &mut Seat {
        &mut self.seats[self.view as usize]
    }

    /// Takes the newest look.
    pub(super) fn look(&mut self, look: Result<Snapshot>) {
        match look {
            Ok(snapshot) => {
                self.error = None;
                if self.paused {
                    return;
                }
                let interior = snapshot.routers.iter().filter(|router| !router.edge);
                let rates: Vec<f64> = interior.filter_map(|router| router.ingress).collect();
                if !rates.is_empty() {
                    self.history.push_back(rates.iter().sum::<f64>() as u64);
                    if self.history.len() > HISTORY {
                        self.history.pop_front();
                    }
                }
                self.snapshot = snapshot;
                self.taken = Some(Instant::now());
            }
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    /// The rows in their order, without those that the filter leaves out; the selection is put where its row is now.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        let mut rows = view::rows(&self.snapshot, self.view);
        let room = self.room.max(1);
        let seat = self.seat_mut();
        let filter = seat.filter.to_lowercase();
        if !filter.is_empty() {
            rows.retain(|row| row.cells.iter().any(|cell| cell.text.to_lowercase().contains(&filter)));
        }
        view::sort(&mut rows, seat.sort, seat.reversed);
        // The selection stays with its row, unless nobody has chosen one: then it is the first.
        if let Some(place) = seat.selected.as_ref().and_then(|id| rows.iter().position(|row| row.id == *id)) {
            seat.at = place;
        }
        seat.at = seat.at.min(rows.len().saturating_sub(1));
        seat.top = seat.top.min(seat.at).max((seat.at + 1).saturating_sub(room));
        seat.top = seat.top.min(rows.len().saturating_sub(room));
        rows
    }

    /// What an event does.
    pub(super) fn event(&mut self, event: &Event) -> Next {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            _ => Next::Go,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::Quit;
        }
        if self.typing {
            self.type_filter(key.code);
            return Next::Go;
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { Next::Quit } else { Next::Go };
        }
        let page = self.room.max(1);
        match key.code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc if !self.seat().filter.is_empty() => self.seat_mut().filter.clear(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(2),
            KeyCode::Char('1') => self.view = View::Routers,
            KeyCode::Char('2') => self.view = View::Links,
            KeyCode::Char('3') => self.view = View::Addresses,
            KeyCode::Down | KeyCode::Char('j') => self.select(1, true),
            KeyCode::Up | KeyCode::Char('k') => self.select(1, false),
            KeyCode::PageDown => self.select(page, true),
            KeyCode::PageUp => self.select(page, false),
            KeyCode::Home | KeyCode::Char('g') => self.select(usize::MAX, false),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX, true),
            KeyCode::Char('s') | KeyCode::Char('>') => self.sort(true),
            KeyCode::Char('S') | KeyCode::Char('<') => self.sort(false),
            KeyCode::Char('r') => {
                let seat = self.seat_mut();
                seat.reversed = !seat.reversed;
            }
            _ => {}
        }
        Next::Go
    }

    fn turn(&mut self, by: usize) {
        let views = [View::Routers, View::Links, View::Addresses];
        self.view = views[(self.view as usize + by) % views.len()];
    }

    fn select(&mut self, by: usize, down: bool) {
        let rows = self.rows();
        let seat = self.seat_mut();
        let at = if down { seat.at.saturating_add(by) } else { seat.at.saturating_sub(by) };
        seat.at = at.min(rows.len().saturating_sub(1));
        // At the top it stays there, so that the slowest is selected whichever it is.
        seat.selected = rows.get(seat.at).filter(|_| seat.at > 0).map(|row| row.id.clone());
    }

    /// The next column to sort by; before the first and behind the last, the slowest come first.
    fn sort(&mut self, forward: bool) {
        let count = columns(self.view).len();
        let seat = self.seat_mut();
        seat.reversed = false;
        seat.sort = match (seat.sort, forward) {
            (None, true) => Some(0),
            (None, false) => Some(count - 1),
            (Some(at), true) => Some(at + 1).filter(|at| *at < count),
            (Some(at), false) => at.checked_sub(1),
        };
    }

    fn type_filter(&mut self, code: KeyCode) {
        let seat = &mut self.seats[self.view as usize];
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                seat.filter.clear();
                self.typing = false;
            }
            KeyCode::Backspace => {
                seat.filter.pop();
            }
            KeyCode::Char(character) => seat.filter.push(character),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::AddressLoad;
    use super::*;

    fn press(app: &mut App, keys: &str) -> Next {
        let mut next = Next::Go;
        for key in keys.chars() {
            let code = match key {
                '\t' => KeyCode::Tab,
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\u{8}' => KeyCode::Backspace,
                other => KeyCode::Char(other),
            };
            next = app.event(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        }
        next
    }

    fn snapshot(addresses: &[(&str, u64)]) -> Snapshot {
        let load = |(address, waiting): &(&str, u64)| AddressLoad {
            address: (*address).to_owned(),
            consumers: 1,
            waiting: *waiting,
            egress: Some(10.0),
            ..AddressLoad::default()
        };
        Snapshot { addresses: addresses.iter().map(load).collect(), ..Snapshot::default() }
    }

    fn ids(app: &mut App) -> Vec<String> {
        app.rows().into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn keys_change_what_is_shown() {
        let mut app = App::new(View::Routers, Duration::from_secs(1));
        press(&mut app, "\t\t");
        assert_eq!(app.view(), View::Addresses);
        app.look(Ok(snapshot(&[("a", 1), ("b", 3), ("c", 2)])));
        assert_eq!(ids(&mut app), ["b", "c", "a"]);
        press(&mut app, "s");
        assert_eq!(ids(&mut app), ["a", "b", "c"]);
        press(&mut app, "r");
        assert_eq!(ids(&mut app), ["c", "b", "a"]);
        press(&mut app, "S");
        assert_eq!(app.seat().sort, None);
        press(&mut app, "/bx\u{8}\n");
        assert_eq!(ids(&mut app), ["b"]);
        press(&mut app, "\u{1b}");
        assert_eq!(ids(&mut app).len(), 3);
        press(&mut app, "?");
        assert!(app.help);
        assert_eq!(press(&mut app, "x"), Next::Go);
        assert!(!app.help);
        // In a filter, q is a letter.
        assert_eq!(press(&mut app, "/q\n"), Next::Go);
        assert_eq!(press(&mut app, "q"), Next::Quit);
    }

    #[test]
    fn the_selection_stays_with_its_row() {
        let mut app = App::new(View::Addresses, Duration::from_secs(1));
        app.look(Ok(snapshot(&[("a", 1), ("b", 3), ("c", 2)])));
        press(&mut app, "j");
        app.rows();
        assert_eq!(app.seat().at, 1, "c");
        app.look(Ok(snapshot(&[("a", 1), ("b", 3), ("c", 9)])));
        assert_eq!((ids(&mut app)[0].as_str(), app.seat().at), ("c", 0));
        app.look(Ok(snapshot(&[("a", 1)])));
        app.rows();
        assert_eq!(app.seat().at, 0);
        press(&mut app, "Gg");
        app.look(Ok(snapshot(&[("z", 100), ("a", 1)])));
        assert_eq!((ids(&mut app)[0].as_str(), app.seat().at), ("z", 0), "at the top it stays at the top");
    }

    #[test]
    fn a_pause_keeps_what_is_shown() {
        let mut app = App::new(View::Addresses, Duration::from_secs(1));
        app.look(Ok(snapshot(&[("a", 1)])));
        press(&mut app, " ");
        app.look(Ok(snapshot(&[])));
        assert_eq!(ids(&mut app), ["a"]);
        app.look(Err(anyhow::anyhow!("gone")));
        assert_eq!(app.error.as_deref(), Some("gone"));
        press(&mut app, " ");
        app.look(Ok(snapshot(&[])));
        assert_eq!((ids(&mut app).len(), app.error.clone()), (0, None));
    }
}
