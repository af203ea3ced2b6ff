//! Unix sockets of type `SOCK_SEQPACKET` (unix(7)): whole messages with descriptors, in order,
//! and an end that both sides see.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The kernel takes at most this many descriptors with one message (`SCM_MAX_FD`).
pub const FDS_MAX: usize = 253;

/// The longest message in bytes. Larger content travels in a memfd.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// What [`recv`] found.
#[derive(Debug)]
pub enum Received {
    /// A message of this many bytes, and its descriptors.
    Message(usize, Vec<OwnedFd>),
    /// The other side is gone.
    End,
    /// Nothing now (the socket does not block).
    WouldBlock,
}

/// A connected pair, close-on-exec. Neither end blocks.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listens at `path`, replacing what is there. The caller holds the lock of the folder.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::listen(&socket, 1024)?;
    Ok(socket)
}

/// Connects to `path`; the connection does not block.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The next connection, `None` where nobody waits.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match rustix::net::accept_with(listener, flags) {
        Ok(socket) => Ok(Some(socket)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The user on the other side (`SO_PEERCRED`, unix(7)).
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// Sends one whole message with its descriptors.
///
/// # Errors
/// `WouldBlock` where the other side does not read; `BrokenPipe` where it is gone.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    debug_assert!(fds.len() <= FDS_MAX && message.len() <= MESSAGE_MAX_BYTES);
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(fds).size() + 16];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for the descriptors of a message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one whole message with its descriptors, close-on-exec.
pub fn recv(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    // Room for the header and as many descriptors as a message can carry.
    let mut space = [MaybeUninit::uninit(); FDS_MAX * 4 + 64];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = match rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    ) {
        Ok(message) => message,
        Err(rustix::io::Errno::AGAIN) => return Ok(Received::WouldBlock),
        Err(rustix::io::Errno::CONNRESET) => return Ok(Received::End),
        Err(e) => return Err(e.into()),
    };
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            fds.extend(rights);
        }
    }
    if message.bytes == 0 && fds.is_empty() {
        return Ok(Received::End);
    }
    Ok(Received::Message(message.bytes, fds))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn messages_stay_whole_and_descriptors_arrive() {
        let (a, b) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        file.rewind().unwrap();
        send(&a, b"one", &[file.as_fd()]).unwrap();
        send(&a, b"two", &[]).unwrap();
        drop(a);
        let mut buffer = [0; 64];
        let Received::Message(3, mut fds) = recv(&b, &mut buffer).unwrap() else { panic!() };
        let mut text = String::new();
        std::fs::File::from(fds.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!((&buffer[..3], text.as_str()), (b"one".as_slice(), "hello"));
        assert!(matches!(recv(&b, &mut buffer).unwrap(), Received::Message(3, _)));
        assert!(matches!(recv(&b, &mut buffer).unwrap(), Received::End));
    }
}
