//! The few functions of `libsasl2` (`sasl/sasl.h`, API 2.1) that a server needs, loaded at run time.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use libloading::Symbol;

use super::{SaslConfig, SaslError, SaslStep};

const LIBRARY: &str = "libsasl2.so.2";
/// The service that tickets and files are for, as clients of AMQP ask for it.
const SERVICE: &CStr = c"amqp";

const SASL_OK: c_int = 0;
const SASL_CONTINUE: c_int = 1;
const SASL_FAIL: c_int = -1;
const SASL_USERNAME: c_int = 0;
const SASL_SEC_PROPS: c_int = 101;
const CALLBACK_END: c_ulong = 0;
const CALLBACK_LOG: c_ulong = 2;
const CALLBACK_CONFIG_PATH: c_ulong = 5;
/// `SASL_LOG_ERR`, `SASL_LOG_WARN`, `SASL_LOG_TRACE`: from the last on, messages may show what was exchanged.
const LOG_ERROR: c_int = 1;
const LOG_WARN: c_int = 3;
const LOG_TRACE: c_int = 6;

/// `sasl_callback_t`
#[repr(C)]
struct Callback {
    id: c_ulong,
    function: *const c_void,
    context: *mut c_void,
}

/// `sasl_security_properties_t`
#[repr(C)]
struct SecurityProperties {
    min_ssf: c_uint,
    max_ssf: c_uint,
    max_buffer: c_uint,
    flags: c_uint,
    names: *const *const c_char,
    values: *const *const c_char,
}

type Init = unsafe extern "C" fn(*const Callback, *const c_char) -> c_int;
type New = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const c_char,
    *const c_char,
    *const c_char,
    *const Callback,
    c_uint,
    *mut *mut c_void,
) -> c_int;
type ListMechanisms = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const c_char,
    *const c_char,
    *const c_char,
    *mut *const c_char,
    *mut c_uint,
    *mut c_int,
) -> c_int;
type Start =
    unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, c_uint, *mut *const c_char, *mut c_uint) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void, *const c_char, c_uint, *mut *const c_char, *mut c_uint) -> c_int;
type GetProperty = unsafe extern "C" fn(*mut c_void, c_int, *mut *const c_void) -> c_int;
type SetProperty = unsafe extern "C" fn(*mut c_void, c_int, *const c_void) -> c_int;
type ErrorDetail = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type ErrorString = unsafe extern "C" fn(c_int, *const c_char, *mut *const c_char) -> *const c_char;
type Dispose = unsafe extern "C" fn(*mut *mut c_void);

/// The library, initialised. It keeps to the thread that opened it (its pointers make it neither `Send` nor `Sync`).
pub(super) struct Library {
    new: New,
    list: ListMechanisms,
    start: Start,
    step: Step,
    get: GetProperty,
    set: SetProperty,
    detail: ErrorDetail,
    string: ErrorString,
    dispose: Dispose,
    thread: PhantomData<*const ()>,
}

impl Library {
    pub(super) fn open(config: &SaslConfig) -> Result<Self, SaslError> {
        let missing = |error: libloading::Error| SaslError::Library(error.to_string());
        // SAFETY: loading runs the initialisers of a library of the system, as linking with it would.
        let library = unsafe { libloading::Library::new(LIBRARY) }.map_err(missing)?;
        // It cannot be unloaded while it holds our callbacks.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: the types are those of `sasl/sasl.h`, which this version of the library (`.so.2`) keeps.
        let (init, this) = unsafe {
            fn of<T: Copy>(symbol: Result<Symbol<'static, T>, libloading::Error>) -> Result<T, SaslError> {
                symbol.map(|symbol| *symbol).map_err(|error| SaslError::Library(error.to_string()))
            }
            let this = Self {
                new: of(library.get::<New>(c"sasl_server_new"))?,
                list: of(library.get::<ListMechanisms>(c"sasl_listmech"))?,
                start: of(library.get::<Start>(c"sasl_server_start"))?,
                step: of(library.get::<Step>(c"sasl_server_step"))?,
                get: of(library.get::<GetProperty>(c"sasl_getprop"))?,
                set: of(library.get::<SetProperty>(c"sasl_setprop"))?,
                detail: of(library.get::<ErrorDetail>(c"sasl_errdetail"))?,
                string: of(library.get::<ErrorString>(c"sasl_errstring"))?,
                dispose: of(library.get::<Dispose>(c"sasl_dispose"))?,
                thread: PhantomData,
            };
            (of(library.get::<Init>(c"sasl_server_init"))?, this)
        };
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| SaslError::Init("a zero byte in a name".to_owned()));
        let name = text(config.name.as_bytes())?;
        let mut callbacks =
            vec![Callback { id: CALLBACK_LOG, function: log as *const c_void, context: ptr::null_mut() }];
        if let Some(dir) = &config.dir {
            let context = text(dir.as_os_str().as_bytes())?.into_raw().cast();
            callbacks.push(Callback { id: CALLBACK_CONFIG_PATH, function: config_path as *const c_void, context });
        }
        callbacks.push(Callback { id: CALLBACK_END, function: ptr::null(), context: ptr::null_mut() });
        let callbacks: &'static [Callback] = callbacks.leak();
        // SAFETY: both live as long as the process; the list ends with its mark. The name is copied (leaked to be sure).
        let code = unsafe { init(callbacks.as_ptr(), name.into_raw()) };
        if code == SASL_OK { Ok(this) } else { Err(SaslError::Init(this.text(code))) }
    }

    /// What a code means, in words of the library.
    fn text(&self, code: c_int) -> String {
        // SAFETY: any code is allowed; the answer is a constant of the library.
        let text = unsafe { (self.string)(code, ptr::null(), ptr::null_mut()) };
        // SAFETY: as above, or null.
        unsafe { words(text) }
    }

    /// Mechanisms that it offers with its settings.
    pub(super) fn mechanisms(&self) -> Result<Vec<String>, SaslError> {
        let exchange = self.exchange().map_err(SaslError::Init)?;
        let (mut list, mut length, mut count) = (ptr::null(), 0, 0);
        // SAFETY: the connection is alive, and so are the three places for answers.
        let code = unsafe {
            (self.list)(
                exchange.connection,
                ptr::null(),
                c"".as_ptr(),
                c" ".as_ptr(),
                c"".as_ptr(),
                &raw mut list,
                &raw mut length,
                &raw mut count,
            )
        };
        if code != SASL_OK {
            return Err(SaslError::Init(self.text(code)));
        }
        // SAFETY: the list is the connection's, which lives until the end of this function.
        let list = unsafe { words(list) };
        Ok(list.split_ascii_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn exchange(&self) -> Result<Exchange<'_>, String> {
        let mut connection = ptr::null_mut();
        let none: *const c_char = ptr::null();
        // SAFETY: all that may be null is; the place for the answer is alive.
        let code = unsafe { (self.new)(SERVICE.as_ptr(), none, none, none, none, ptr::null(), 0, &raw mut connection) };
        if code != SASL_OK || connection.is_null() {
            return Err(self.text(code));
        }
        let exchange = Exchange { library: self, connection };
        // No layer of security of its own: that is TLS's.
        let (names, values) = (ptr::null(), ptr::null());
        let properties = SecurityProperties { min_ssf: 0, max_ssf: 0, max_buffer: 0, flags: 0, names, values };
        // SAFETY: the properties are copied.
        let code = unsafe { (self.set)(connection, SASL_SEC_PROPS, (&raw const properties).cast()) };
        if code == SASL_OK { Ok(exchange) } else { Err(self.text(code)) }
    }
}

/// One client.
pub(super) struct Exchange<'a> {
    library: &'a Library,
    connection: *mut c_void,
}

impl Exchange<'_> {
    /// The first response, which may be empty.
    pub(super) fn start(&mut self, mechanism: &str, response: &[u8]) -> SaslStep {
        let Ok(mechanism) = CString::new(mechanism) else {
            return SaslStep::Refused("the mechanism has a zero byte".to_owned());
        };
        let length = c_uint::try_from(response.len()).unwrap_or(0);
        // For the library, no response and an empty one are different things.
        let bytes = if length == 0 { ptr::null() } else { response.as_ptr().cast() };
        let (mut out, mut out_length) = (ptr::null(), 0);
        // SAFETY: the connection is alive, the response is as long as said, and so on.
        let code = unsafe {
            (self.library.start)(self.connection, mechanism.as_ptr(), bytes, length, &raw mut out, &raw mut out_length)
        };
        self.answer(code, out, out_length)
    }

    pub(super) fn step(&mut self, response: &[u8]) -> SaslStep {
        let length = c_uint::try_from(response.len()).unwrap_or(0);
        let (mut out, mut out_length) = (ptr::null(), 0);
        // SAFETY: as above.
        let code = unsafe {
            (self.library.step)(self.connection, response.as_ptr().cast(), length, &raw mut out, &raw mut out_length)
        };
        self.answer(code, out, out_length)
    }

    fn answer(&self, code: c_int, out: *const c_char, length: c_uint) -> SaslStep {
        match code {
            SASL_CONTINUE if out.is_null() => SaslStep::Challenge(Vec::new()),
            SASL_CONTINUE => {
                // SAFETY: the library's own bytes, as long as it says, until the next call.
                let bytes = unsafe { std::slice::from_raw_parts(out.cast::<u8>(), length as usize) };
                SaslStep::Challenge(bytes.to_vec())
            }
            SASL_OK => self.user(),
            _ => {
                // SAFETY: the connection is alive; the text is its own, until the next call.
                let detail = unsafe { words((self.library.detail)(self.connection)) };
                let detail = if detail.is_empty() { self.library.text(code) } else { detail };
                SaslStep::Refused(detail)
            }
        }
    }

    fn user(&self) -> SaslStep {
        let mut value = ptr::null();
        // SAFETY: the connection is alive; this property is a text of the library, until the connection ends.
        let name = unsafe {
            match (self.library.get)(self.connection, SASL_USERNAME, &raw mut value) {
                SASL_OK => words(value.cast()),
                _ => String::new(),
            }
        };
        if name.is_empty() { SaslStep::Refused("no user".to_owned()) } else { SaslStep::Accepted { user: name } }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // SAFETY: it is alive, and not used any more.
        unsafe { (self.library.dispose)(&raw mut self.connection) };
    }
}

/// A text of the library; empty for none.
///
/// # Safety
/// It is null, or ends with a zero byte.
unsafe fn words(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// `sasl_log_t`. Called by the library.
unsafe extern "C" fn log(_context: *mut c_void, level: c_int, message: *const c_char) -> c_int {
    if level < LOG_TRACE {
        // SAFETY: the library gives a text.
        let message = unsafe { words(message) };
        match level {
            LOG_ERROR | LOG_WARN => tracing::warn!(target: "SERVER", "SASL: {message}"),
            // Clients that are refused are logged with their addresses.
            _ => tracing::debug!(target: "SERVER", "SASL: {message}"),
        }
    }
    SASL_OK
}

/// `sasl_getconfpath_t`. Called by the library, which frees what it gets.
unsafe extern "C" fn config_path(context: *mut c_void, path: *mut *mut c_char) -> c_int {
    if context.is_null() || path.is_null() {
        return SASL_FAIL;
    }
    // SAFETY: the context is the text that this was registered with; the copy is from the allocator that the library frees with.
    unsafe { *path = libc::strdup(context.cast_const().cast()) };
    // SAFETY: it was written just now.
    if unsafe { (*path).is_null() } { SASL_FAIL } else { SASL_OK }
}
