use crate::error::KernelError;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// From this size on memory is mapped, so that pages are first touched by the thread that fills them.
const MAP_FROM: usize = 1 << 20;
const HUGE_PAGE: usize = 2 << 20;
const ALIGN: usize = 64;

/// Zeroed bytes, aligned to cache lines; large ones in huge pages where the system has them.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    len: usize,
    /// The whole mapping, if this is one.
    mapping: Option<(NonNull<u8>, usize)>,
}

// SAFETY: Buffer owns its bytes and hands them out by the borrow rules, as Vec<u8> does.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared access is read-only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zero bytes for `what`; `remedy` goes into the error when the system refuses.
    pub fn zeroed(len: usize, what: &'static str, remedy: &'static str) -> Result<Buffer, KernelError> {
        let refused = || KernelError::OutOfMemory { what, bytes: len, remedy };
        if len == 0 {
            return Ok(Buffer { start: NonNull::<Line>::dangling().cast(), len: 0, mapping: None });
        }
        if len < MAP_FROM {
            let layout = Layout::from_size_align(len, ALIGN).map_err(|_| refused())?;
            // SAFETY: the layout's size is not zero.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
            return Ok(Buffer { start, len, mapping: None });
        }
        let whole = len.checked_add(HUGE_PAGE).ok_or_else(refused)?;
        isize::try_from(whole).map_err(|_| refused())?;
        // SAFETY: a new private anonymous mapping touches no memory that anyone else has.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                whole,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(refused());
        }
        let base = NonNull::new(mapped.cast::<u8>()).ok_or_else(refused)?;
        let skip = base.as_ptr().align_offset(HUGE_PAGE);
        // SAFETY: skip < HUGE_PAGE, and the mapping is HUGE_PAGE longer than len.
        let start = unsafe { base.add(skip) };
        #[cfg(target_os = "linux")]
        // SAFETY: the range lies inside the mapping; the advice changes no contents, and its failure
        // only costs speed.
        unsafe {
            libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE);
        }
        Ok(Buffer { start, len, mapping: Some((base, whole)) })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: start is valid for len initialised bytes for as long as self lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[repr(align(64))]
struct Line;

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((base, whole)) = self.mapping {
            // SAFETY: this is the mapping made in `zeroed`, unmapped once.
            unsafe { libc::munmap(base.as_ptr().cast(), whole) };
        } else if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this very layout.
            unsafe {
                dealloc(self.start.as_ptr(), Layout::from_size_align_unchecked(self.len, ALIGN));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_writable() {
        for len in [0, 1, 64, 4097, MAP_FROM - 1, MAP_FROM, 3 * MAP_FROM + 5] {
            let mut buffer = Buffer::zeroed(len, "a test", "free some").unwrap();
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_slice().as_ptr() as usize % ALIGN, 0);
            assert!(buffer.as_slice().iter().all(|&byte| byte == 0));
            buffer.as_mut_slice().fill(7);
            assert!(buffer.as_slice().iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        for len in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert!(matches!(
                Buffer::zeroed(len, "a test", "ask for less"),
                Err(KernelError::OutOfMemory { bytes, .. }) if bytes == len
            ));
        }
    }
}
