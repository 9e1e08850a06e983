//! The node's board on disk: sealed, because it holds results, and durable before anything depends
//! on it.

use handfast_core::crypto::hmac_sha256;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::link::board::Board;
use handfast_core::secret::Secret;
use zeroize::Zeroizing;

use super::storage::{NativeKeeper, NativeStorageError};
use crate::seal;
use crate::state::{BOARD, StateError};

/// Number of dispatches that the board keeps.
pub(super) const DISPATCHES: usize = 256;
/// Precedes nothing in the message whose tag under the node's key seals what it stores.
const SEAL_LABEL: &[u8] = b"handfast/v1/node-seal\0";
/// Associated data of the sealed board.
const BOARD_LABEL: &[u8] = b"handfast/v1/node-board\0";

/// The board of a node on Linux.
pub(super) type NodeBoard = Board<DISPATCHES>;

/// Returns the key that seals what a node with these keys stores.
pub(super) fn seal_key(keys: &OwnKeys) -> Secret<32> {
    hmac_sha256::tag_parts(&keys.channel.to_stored(), SEAL_LABEL, &[])
}

impl NativeKeeper {
    /// Loads the board of a node that starts. Tasks that ran when it ended are interrupted on it.
    pub(super) fn load_board(&self) -> Result<Box<NodeBoard>, NativeStorageError> {
        let mut board = self.read_board()?;
        if board.after_boot() {
            // The interruption is durable before anything is answered from the board.
            self.keep_board(&board)?;
        }
        Ok(board)
    }

    /// Reads the board as it is on the disk.
    pub(super) fn read_board(&self) -> Result<Box<NodeBoard>, NativeStorageError> {
        let damaged = |why: &str| StateError::Damaged {
            path: self.state.dir().path().join(BOARD),
            why: why.to_owned(),
        };
        let Some(mut bytes) = self.state.dir().read_file(BOARD)? else {
            // A node that has taken no dispatch yet has no board.
            return Ok(Box::default());
        };
        let text = seal::open(&self.seal, BOARD_LABEL, &mut bytes)
            .map_err(|_| damaged("it does not open with this node's keys"))?;
        let board = NodeBoard::read(text).map(Box::new);
        Ok(board.ok_or_else(|| damaged("it opens, and is no board"))?)
    }

    /// Makes the board durable.
    pub(super) fn keep_board(&self, board: &NodeBoard) -> Result<(), NativeStorageError> {
        // The board holds results, so its plaintext is wiped.
        let mut room = Zeroizing::new(vec![0; NodeBoard::STORED_BYTES]);
        // The room is as large as the longest board.
        let text = board.write(&mut room).ok_or(NativeStorageError::Board)?;
        let sealed = seal::seal(&self.seal, BOARD_LABEL, text)?.ok_or(NativeStorageError::Board)?;
        Ok(self.state.write_file(BOARD, &sealed)?)
    }
}
