//! The thread that writes the log, and the queue to it.
//!
//! A full queue drops lines and counts them: a log that nobody reads must not stop a stream. While
//! lines keep coming the thread sleeps between two writes instead of waiting on the queue, so that
//! a serving thread neither wakes it nor makes it write line by line.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, SystemTime};

use streamgate_core::log::{Field, Level, Record};

use super::line::LineFormat;

/// Lines that wait to be written; about 1 KiB each.
const LINES_QUEUED_MAX: usize = 4096;
/// How long lines are gathered for the next write after one.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// What is written at once, give or take a line.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How long the end of the program waits for the last lines.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// The way to the thread. Cheap to clone: clones share it.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    entries: SyncSender<Entry>,
    /// Lines that found no room since the last report of them.
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Record(SystemTime, Record),
    /// A line that is formatted already.
    Line(Box<[u8]>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

impl Queue {
    /// Logs a record, if there is room.
    pub(super) fn push(&self, record: Record) {
        self.try_send(Entry::Record(SystemTime::now(), record));
    }

    /// Waits until everything so far is written, but not for ever: nobody may be reading.
    pub(super) fn flush(&self) {
        let (written, flushed) = mpsc::sync_channel(1);
        if self.entries.try_send(Entry::Flush(written)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_TIME_MAX);
        }
    }

    fn try_send(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `tracing` hands over one line per write.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.try_send(Entry::Line(line.into()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread. It ends when every queue to it is dropped.
pub(super) fn start<W: Write + Send + 'static>(out: W, format: LineFormat) -> io::Result<Queue> {
    let (entries, queued) = mpsc::sync_channel(LINES_QUEUED_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let writer =
        Writer { out, format, dropped: dropped.clone(), lines: Vec::new(), waiting: Vec::new() };
    std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&queued))?;
    Ok(Queue { entries, dropped })
}

struct Writer<W> {
    out: W,
    format: LineFormat,
    dropped: Arc<AtomicU64>,
    /// What is to be written next.
    lines: Vec<u8>,
    /// Who waits for that.
    waiting: Vec<SyncSender<()>>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queued: &Receiver<Entry>) {
        while let Ok(entry) = queued.recv() {
            self.add(entry);
            while self.write_queued(queued) {
                std::thread::sleep(GATHER_TIME);
            }
        }
    }

    /// Writes all that is queued; `false` if that was nothing.
    fn write_queued(&mut self, queued: &Receiver<Entry>) -> bool {
        while let Ok(entry) = queued.try_recv() {
            self.add(entry);
            if self.lines.len() >= WRITE_BYTES_MAX {
                self.write();
            }
        }
        self.report_dropped();
        self.write()
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Record(time, record) => self.format.write(&mut self.lines, time, &record),
            Entry::Line(line) => self.lines.extend(line),
            Entry::Flush(written) => self.waiting.push(written),
        }
    }

    fn report_dropped(&mut self) {
        let count = self.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let record = Record::new(Level::Warn, "log lines dropped").with(Field::Count, count);
            self.format.write(&mut self.lines, SystemTime::now(), &record);
        }
    }

    /// `false` if there was nothing to write and nobody waited for it.
    fn write(&mut self) -> bool {
        if self.lines.is_empty() && self.waiting.is_empty() {
            return false;
        }
        // There is no other place to report that the log cannot be written.
        let _ = self.out.write_all(&self.lines);
        self.lines.clear();
        for waiting in self.waiting.drain(..) {
            let _ = waiting.try_send(());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What was written, write by write. A write takes as long as somebody else holds the lock.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started() -> (Writes, Queue) {
        let writes = Writes::default();
        let queue = start(writes.clone(), LineFormat::Json).unwrap();
        (writes, queue)
    }

    fn record() -> Record {
        Record::new(Level::Info, "answer")
    }

    #[test]
    fn a_flush_waits_for_records_and_lines_in_their_order() {
        let (writes, mut queue) = started();
        queue.push(record());
        Write::write(&mut queue, b"another\n").unwrap();
        queue.flush();
        let written = writes.0.lock().unwrap().concat();
        assert!(written.contains("\"message\":\"answer\"}\nanother\n"), "{written}");
    }

    #[test]
    fn lines_that_keep_coming_are_written_together() {
        let (writes, queue) = started();
        for _ in 0..100 {
            queue.push(record());
        }
        queue.flush();
        let writes = writes.0.lock().unwrap();
        assert_eq!(writes.concat().lines().count(), 100);
        assert!(writes.len() < 50, "{} writes", writes.len());
    }

    #[test]
    fn a_log_that_nobody_reads_drops_lines_and_counts_them() {
        let (writes, queue) = started();
        let blocked = writes.0.lock().unwrap();
        let pushed = 2 * LINES_QUEUED_MAX;
        for _ in 0..pushed {
            queue.push(record());
        }
        drop(blocked);
        while queue.dropped.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(GATHER_TIME);
        }
        queue.flush();
        let written = writes.0.lock().unwrap().concat();
        let kept = written.lines().filter(|line| line.contains("answer")).count();
        let counts = written.lines().filter_map(|line| line.split_once("\"count\":"));
        let dropped: usize =
            counts.map(|(_, count)| count.trim_end_matches('}').parse::<usize>().unwrap()).sum();
        assert!(dropped > 0, "{kept} of {pushed} were kept");
        assert_eq!(kept + dropped, pushed);
    }
}
