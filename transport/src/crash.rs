//! The report of a crash: what a process that dies of a signal says on its standard error.
//!
//! The handler runs wherever the program happened to be, maybe inside the allocator or with a lock held. So it does system calls only, on
//! what [`install`] prepared, and leaves the end of the process to whoever had the signal before: for faults that is the standard library,
//! which knows an overflow of a stack when it sees one, and then the system, which writes the core.
//!
//! A panic is no crash: [`worker`](crate::worker) logs it, and it ends no more than the task it is in.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

mod report;
#[cfg(test)]
mod tests;

use report::{Circumstances, Program};

/// What is reported.
const SIGNALS: [c_int; 5] = [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV];

/// With this in the environment there are no reports, as with the reference.
const DISABLED: &str = "SKUPPER_ROUTER_DISABLE_PANIC_HANDLER";

/// Everything that the handler needs. Reading it takes no lock.
static PREPARED: OnceLock<Prepared> = OnceLock::new();

/// The thread that reports; 0: nobody does.
static REPORTER: AtomicI32 = AtomicI32::new(0);

struct Prepared {
    program: Program,
    /// What was done about the signals before, in the order of [`SIGNALS`].
    before: [libc::sigaction; SIGNALS.len()],
}

/// From now on a crash of this process is reported. `version` and `program` are what the report calls it. Only the first call counts.
pub fn install(version: &str, program: &str) {
    if std::env::var_os(DISABLED).is_some() {
        return;
    }
    let before = SIGNALS.map(|signal| action_for(signal, None));
    if PREPARED.set(Prepared { program: Program::new(version, program), before }).is_err() {
        return;
    }
    let mut action = nothing();
    action.sa_sigaction = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    // The stack that overflowed is no place for a handler. Threads have another: the standard library's, made for the same purpose.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in SIGNALS {
        // SAFETY: `sa_mask` is a valid set, and the signal a valid number.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, signal) };
    }
    for signal in SIGNALS {
        action_for(signal, Some(&action));
    }
}

/// Dies of SIGSEGV, by writing where nothing is mapped. For tests of the report.
pub fn fault() -> ! {
    loop {
        // SAFETY: no memory of the program lies in the first page, which the system maps for nobody: the process ends here.
        unsafe { ptr::write_volatile(ptr::without_provenance_mut::<u32>(8), 42) };
    }
}

/// Writes over the heap until the process dies of it, in this thread or another. For tests of the report.
pub fn corrupt_heap() -> ! {
    /// Further than what is mapped behind the end of the heap, in numbers.
    const FAR: usize = 2 * 1024 * 1024;
    loop {
        // SAFETY: malloc may be called by anybody. What follows is not sound, and is not meant to be: it destroys the process, which was
        // asked to die in this way. Nothing of the program is relied on after it.
        unsafe {
            let block = libc::malloc(8).cast::<u64>();
            if !block.is_null() {
                (0..FAR).for_each(|n| ptr::write_volatile(block.wrapping_add(n), u64::MAX));
            }
        }
        std::thread::yield_now();
    }
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(prepared) = PREPARED.get() else { return };
    // SAFETY: it has no preconditions, and is a system call.
    let thread = unsafe { libc::gettid() };
    // SAFETY: the system gives a handler with SA_SIGINFO a valid one.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // What a process was sent is no fault of the instruction at which it came.
    let fault = code > 0;
    match REPORTER.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => {
            let at = instruction(context);
            let circumstances = Circumstances { signal, thread, at, address: fault.then_some(address) };
            prepared.program.report(&circumstances, &thread_name()).write();
        }
        // Another thread crashes at the same time, as after the heap was destroyed. If this one went on, the process might end before that
        // has said why.
        Err(other) if other != thread => loop {
            // SAFETY: it has no preconditions, and is a system call.
            unsafe { libc::pause() };
        },
        // The one that reported aborts now.
        Err(_) => {}
    }
    let at = SIGNALS.iter().position(|other| *other == signal);
    match at.and_then(|at| prepared.before.get(at)).filter(|_| fault) {
        // The instruction is tried again.
        Some(before) => _ = action_for(signal, Some(before)),
        None => {
            action_for(signal, Some(&nothing()));
            // SAFETY: it has no preconditions. The signal is blocked until the handler returns.
            unsafe { libc::raise(signal) };
        }
    }
}

/// The default action, with an empty mask.
fn nothing() -> libc::sigaction {
    // SAFETY: of this structure all zeros is a valid value: SIG_DFL, no flags, nothing in the mask.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Sets what is done about a signal, if told; answers what was done before.
fn action_for(signal: c_int, new: Option<&libc::sigaction>) -> libc::sigaction {
    let mut before = nothing();
    // SAFETY: both pointers are null or valid, and a handler that was set is a function of the right type. May be called in handlers.
    unsafe { libc::sigaction(signal, new.map_or(ptr::null(), ptr::from_ref), &raw mut before) };
    before
}

/// The name of the calling thread, with zeros behind it.
fn thread_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes. It is a system call.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// Where the program was when the signal came, on the machines that are known here.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction(context: *const c_void) -> Option<usize> {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the system gives a handler with SA_SIGINFO a valid one.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return machine.gregs.get(libc::REG_RIP as usize).map(|at| *at as usize);
    #[cfg(target_arch = "aarch64")]
    return Some(machine.pc as usize);
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn instruction(_: *const c_void) -> Option<usize> {
    None
}
