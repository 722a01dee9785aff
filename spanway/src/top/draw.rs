//! The screen.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Sparkline, Table, TableState};

use super::app::App;
use super::view::{Column, Mood, Row, columns, grouped};
use crate::cli::top::View;
use crate::client::report::Count;
use crate::client::table::shown;

/// Terminals with fewer lines have no graph.
const GRAPH_FROM: u16 = 16;
/// Lines of the graph.
const GRAPH: u16 = 3;
/// Blanks between columns.
const GAP: u16 = 2;

/// Draws everything.
pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let graph = if frame.area().height >= GRAPH_FROM { GRAPH } else { 0 };
    let [title, graph, tabs, body, hint, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(graph),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    app.room = usize::from(body.height.saturating_sub(1));
    let rows = app.rows();
    draw_title(app, frame, title);
    draw_graph(app, frame, graph);
    draw_tabs(app, rows.len(), frame, tabs);
    draw_table(app, &rows, frame, body);
    draw_hint(app, &rows, frame, hint);
    draw_keys(app, frame, keys);
    if app.help {
        draw_help(app, frame);
    }
}

fn draw_title(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let routers = &app.snapshot.routers;
    let here = routers.first().map_or("", |router| router.id.as_str());
    let sum = |rate: fn(&super::sample::RouterLoad) -> Option<f64>| {
        // What edge routers send on is counted where it enters the network.
        let alone = routers.iter().all(|router| router.edge);
        let known: Vec<f64> = routers.iter().filter(|router| alone || !router.edge).filter_map(rate).collect();
        if known.is_empty() { "-".to_owned() } else { grouped(known.iter().sum::<f64>().round() as u64) }
    };
    let silent = routers.iter().filter(|router| router.silent.is_some()).count();
    let mut left = vec![
        Span::from(" spanway top ").bold().reversed(),
        Span::from(format!(" {} ", shown(here))).bold().cyan(),
        Span::from(format!("· {}", Count(routers.len() as u64, "router"))),
    ];
    if silent > 0 {
        left.push(Span::from(format!(", {silent} silent")).red().bold());
    }
    left.push(Span::from("   in ").dim());
    left.push(Span::from(format!("{}/s", sum(|router| router.ingress))).bold());
    left.push(Span::from("   out ").dim());
    left.push(Span::from(format!("{}/s", sum(|router| router.egress))).bold());
    let stuck: u64 = routers.iter().map(|router| router.stuck).sum();
    if stuck > 0 {
        left.push(Span::from(format!("   {} stuck", grouped(stuck))).red().bold());
    }
    let clock = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
    let right = match (app.paused, &app.error) {
        (true, _) => Line::from(vec![Span::from(" paused ").reversed().yellow(), Span::from(format!(" {clock} "))]),
        (false, Some(_)) => {
            Line::from(vec![Span::from(" offline ").reversed().red(), Span::from(format!(" {clock} "))])
        }
        (false, None) => Line::from(format!("every {} s  {clock} ", app.interval.as_secs_f64())).dim(),
    };
    frame.render_widget(Paragraph::new(Line::from(left)), area);
    let width = u16::try_from(right.width()).unwrap_or(0).min(area.width);
    let place = Rect { x: area.right() - width, width, ..area };
    // Where there is room for both.
    if area.width > 70 || app.error.is_some() {
        frame.render_widget(Clear, place);
        frame.render_widget(Paragraph::new(right).alignment(Alignment::Right), place);
    }
}

fn draw_graph(app: &App, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let most = app.history.iter().copied().max().unwrap_or(0);
    let [label, graph] = Layout::horizontal([Constraint::Length(14), Constraint::Min(1)]).areas(area);
    let lines =
        vec![Line::from(format!(" {}/s", grouped(most))).dim(), Line::from(""), Line::from(" 0   in, all").dim()];
    frame.render_widget(Paragraph::new(lines), label);
    // The newest stands to the right, whatever the width is.
    let width = usize::from(graph.width);
    let known = app.history.iter().rev().take(width).rev().copied();
    let blanks = width.saturating_sub(app.history.len().min(width));
    let data: Vec<u64> = std::iter::repeat_n(0, blanks).chain(known).collect();
    frame.render_widget(Sparkline::default().data(data).max(most.max(1)).style(Style::new().fg(Color::Green)), graph);
}

fn draw_tabs(app: &App, count: usize, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::from(" ")];
    for (key, view, name) in
        [("1", View::Routers, "Routers"), ("2", View::Links, "Links"), ("3", View::Addresses, "Addresses")]
    {
        let chosen = app.view() == view;
        let text = if chosen { format!(" {key} {name} ({count}) ") } else { format!(" {key} {name} ") };
        spans.push(if chosen { Span::from(text).bold().black().on_cyan() } else { Span::from(text).dim() });
        spans.push(Span::from(" "));
    }
    let seat = app.seat();
    if app.typing || !seat.filter.is_empty() {
        let cursor = if app.typing { "_" } else { "" };
        spans.push(Span::from(format!("  /{}{cursor}", shown_or_empty(&seat.filter))).yellow().bold());
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn shown_or_empty(text: &str) -> String {
    if text.is_empty() { String::new() } else { shown(text) }
}

/// The columns that there is room for, by their index, and their widths.
fn fitting(columns: &[Column], rows: &[Row], room: u16) -> Vec<(usize, u16)> {
    let width = |at: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.text.chars().count());
        // A mark for the order stands behind the name.
        let widest = cells.max().unwrap_or(0).min(40).max(name.chars().count() + 1);
        u16::try_from(widest).unwrap_or(40)
    };
    let mut chosen: Vec<(usize, u16, u8)> =
        columns.iter().enumerate().map(|(at, column)| (at, width(at, column.name), column.rank)).collect();
    let total = |chosen: &[(usize, u16, u8)]| chosen.iter().map(|(_, width, _)| width + GAP).sum::<u16>();
    while total(&chosen) > room + GAP {
        let last = chosen
            .iter()
            .enumerate()
            .filter(|(_, (_, _, rank))| *rank > 0)
            .max_by_key(|(at, (_, _, rank))| (*rank, *at));
        match last.map(|(at, _)| at) {
            Some(at) => drop(chosen.remove(at)),
            None => break,
        }
    }
    chosen.into_iter().map(|(at, width, _)| (at, width)).collect()
}

fn draw_table(app: &App, rows: &[Row], frame: &mut Frame<'_>, area: Rect) {
    if app.taken.is_none() {
        frame.render_widget(Paragraph::new("\n  asking the routers ...").dim(), area);
        return;
    }
    let columns = columns(app.view());
    let chosen = fitting(columns, rows, area.width);
    let seat = app.seat();
    let head = chosen.iter().filter_map(|(at, width)| {
        let column = columns.get(*at)?;
        let sorted = seat.sort == Some(*at);
        let down = column.number != seat.reversed;
        let mark = if !sorted {
            " "
        } else if down {
            "▼"
        } else {
            "▲"
        };
        let text = if column.number {
            format!("{:>1$}", format!("{}{mark}", column.name), usize::from(*width))
        } else {
            format!("{}{mark}", column.name)
        };
        Some(Cell::from(if sorted { Span::from(text).underlined() } else { Span::from(text) }))
    });
    let head = TableRow::new(head.collect::<Vec<_>>()).style(Style::new().fg(Color::Black).bg(Color::Green));
    let lines = rows.iter().skip(seat.top).take(app.room).map(|row| {
        let cells = chosen.iter().filter_map(|(at, width)| {
            let (column, cell) = (columns.get(*at)?, row.cells.get(*at)?);
            // As far as the mark in the head.
            let text = if column.number {
                format!("{:>1$} ", cell.text, usize::from(width.saturating_sub(1)))
            } else {
                clipped(&cell.text, usize::from(*width))
            };
            let quiet = column.number && matches!(cell.text.as_str(), "0" | "-");
            Some(Cell::from(if quiet { Span::from(text).dim() } else { Span::from(text) }))
        });
        TableRow::new(cells.collect::<Vec<_>>()).style(style(row.mood))
    });
    let widths = chosen.iter().map(|(_, width)| Constraint::Length(*width));
    let table = Table::new(lines.collect::<Vec<_>>(), widths)
        .header(head)
        .column_spacing(GAP)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!rows.is_empty()).then(|| seat.at.saturating_sub(seat.top)));
    frame.render_stateful_widget(table, area, &mut state);
    if rows.is_empty() {
        let why =
            if seat.filter.is_empty() { "  none" } else { "  none that the filter lets through; Esc takes it away" };
        let place = Rect { y: area.y + 1, height: area.height.saturating_sub(1).min(1), ..area };
        frame.render_widget(Paragraph::new(why).dim(), place);
    }
}

fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn style(mood: Mood) -> Style {
    match mood {
        Mood::Idle => Style::new().fg(Color::Gray),
        Mood::Fine => Style::new(),
        Mood::Slow => Style::new().fg(Color::Yellow),
        Mood::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn draw_hint(app: &App, rows: &[Row], frame: &mut Frame<'_>, area: Rect) {
    if let Some(error) = &app.error {
        let line = Line::from(format!(" trying again: {}", shown(error))).red().bold();
        frame.render_widget(Paragraph::new(line), area);
        return;
    }
    let Some(row) = rows.get(app.seat().at) else { return };
    let hint = Line::from(format!(" {}", shown(&row.hint)));
    frame.render_widget(Paragraph::new(if row.mood == Mood::Bad { hint.red() } else { hint.dim() }), area);
}

fn draw_keys(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let sort = app.seat().sort.and_then(|at| columns(app.view()).get(at)).map_or("slowest first", |column| column.name);
    let sort = format!("Sort: {sort}");
    let pause = if app.paused { "Go on" } else { "Pause" };
    let keys: &[(&str, &str)] = if app.typing {
        &[("Enter", "Keep the filter"), ("Esc", "No filter")]
    } else {
        &[
            ("q", "Quit"),
            ("Tab", "View"),
            ("↑↓", "Move"),
            ("s", &sort),
            ("r", "Reverse"),
            ("/", "Filter"),
            ("Space", pause),
            ("?", "Help"),
        ]
    };
    let mut spans = Vec::new();
    for (key, what) in keys {
        spans.push(Span::from(format!(" {key} ")).bold());
        spans.push(Span::from((*what).to_owned()).black().on_cyan());
        spans.push(Span::from(" "));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn draw_help(app: &App, frame: &mut Frame<'_>) {
    let mut lines = vec![
        Line::from("q, Ctrl-C   quit").bold(),
        Line::from("Tab, 1 2 3  routers, links, addresses"),
        Line::from("↑ ↓ j k     move; PgUp, PgDn, g, G: by pages, to the ends"),
        Line::from("s, S        sort by the next column, the one before; at first the slowest come first"),
        Line::from("r           turn the order around"),
        Line::from("/           show only what has this text; Esc takes the filter away"),
        Line::from("Space       stop the picture"),
        Line::from(""),
        Line::from(vec![
            Span::from("Red").red().bold(),
            Span::from(" does not work, "),
            Span::from("yellow").yellow(),
            Span::from(" waits for more than a second, "),
            Span::from("grey").gray().dim(),
            Span::from(" does nothing."),
        ]),
        Line::from(""),
    ];
    lines.extend(columns(app.view()).iter().map(|column| Line::from(format!("{:<13}{}", column.name, column.help))));
    let took = Duration::from_micros(u64::try_from(app.snapshot.took.as_micros()).unwrap_or(u64::MAX));
    lines.push(Line::from(""));
    lines.push(Line::from(format!("The last look took {took:.1?}. Any key closes this.")).dim());
    let area = frame.area();
    let height = u16::try_from(lines.len() + 2).unwrap_or(area.height).min(area.height);
    let width = 90.min(area.width);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" spanway top ").border_style(Style::new().fg(Color::Cyan));
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
