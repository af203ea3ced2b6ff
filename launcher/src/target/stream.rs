//! One byte stream made into a gRPC channel that never dials again by itself.
//!
//! A refused client certificate shows up late with TLS 1.3: the handshake succeeds, and the first
//! read brings the peer's alert, which the layers above turn into "operation was canceled". The
//! stream keeps the alert, so that the true cause can be told.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use a2arun_rt::tls::{Purpose, refused_by_peer};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Channel, Endpoint};

const MIB: u32 = 1 << 20;

/// What the peer said when it refused us.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict(Arc<OnceLock<String>>);

impl Verdict {
    /// The alert, once there was one.
    pub(crate) fn alert(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Makes the channel. The HTTP/2 preface is sent, no answer is waited for.
pub(super) async fn channel<S>(
    stream: S,
    purpose: Purpose,
) -> Result<(Channel, Verdict), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let verdict = Verdict::default();
    let watched = Watched { stream, verdict: verdict.clone() };
    let once = Arc::new(Mutex::new(Some(TokioIo::new(watched))));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = once.lock().ok().and_then(|mut slot| slot.take());
        std::future::ready(
            stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "connection is gone")),
        )
    });
    let endpoint = Endpoint::from_static("http://noded");
    let endpoint = match purpose {
        Purpose::Control => {
            endpoint.initial_stream_window_size(MIB).initial_connection_window_size(2 * MIB)
        }
        Purpose::Bulk => endpoint
            .initial_stream_window_size(8 * MIB)
            .initial_connection_window_size(8 * MIB)
            .max_frame_size(MIB),
    };
    Ok((endpoint.connect_with_connector(connector).await?, verdict))
}

struct Watched<S> {
    stream: S,
    verdict: Verdict,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled
            && let Some(alert) = refused_by_peer(error)
        {
            // Only the first counts.
            let _ = self.verdict.0.set(alert);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
