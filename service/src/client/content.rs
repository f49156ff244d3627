//! What goes with a request: bytes in memory, or those of a file, which are read as they are sent.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// How much of a file is in memory at once.
const PART_BYTES: u64 = 1 << 16;

/// A body as it is sent.
pub(super) type Sent = Either<Full<Bytes>, OfFile>;

/// A body, which may have to be sent again.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Bytes(Bytes),
    File(OfFile),
}

impl Content {
    pub(super) fn send(self) -> Sent {
        match self {
            Self::Bytes(bytes) => Either::Left(Full::new(bytes)),
            Self::File(file) => Either::Right(file),
        }
    }
}

/// The bytes of a file, from the first on. Whoever polls it waits for the disk.
#[derive(Debug, Clone)]
pub(super) struct OfFile {
    file: Arc<File>,
    at: u64,
    bytes: u64,
}

impl OfFile {
    /// As many as it has now.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let file = Arc::new(file);
        Ok(Self { file, at: 0, bytes })
    }
}

impl Body for OfFile {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = self.bytes - self.at;
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut part = vec![0; usize::try_from(left.min(PART_BYTES)).unwrap_or_default()];
        Poll::Ready(Some(match self.file.read_at(&mut part, self.at) {
            Ok(0) => Err(io::Error::other("the file has become shorter while it was sent")),
            Ok(read) => {
                part.truncate(read);
                self.at += read as u64;
                Ok(Frame::data(part.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.bytes
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes - self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::{fs, io::Write};

    #[test]
    fn a_file_is_sent_in_parts_and_one_that_was_cut_meanwhile_is_an_error() {
        let path = std::env::temp_dir().join(format!("holdfast-client-content-{}", std::process::id()));
        let long: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        File::create(&path).unwrap().write_all(&long).unwrap();
        let body = OfFile::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut first = body.clone();
        let part = runtime.block_on(first.frame()).unwrap().unwrap().into_data().unwrap();
        assert_eq!(part.len() as u64, PART_BYTES);
        // What is sent again begins at the beginning.
        let all = runtime.block_on(body.clone().collect()).unwrap().to_bytes();
        assert_eq!(all, long);
        File::create(&path).unwrap().write_all(&long[..100]).unwrap();
        let cut = runtime.block_on(body.collect()).unwrap_err();
        assert!(cut.to_string().contains("shorter"), "{cut}");
        fs::remove_file(&path).unwrap();
    }
}
