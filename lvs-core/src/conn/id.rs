//! What names a connection: its slot, and an id that a later connection in the same slot does not have.

/// Names a connection of one director. After the connection is gone it finds nothing, even if another takes its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The id of these two numbers, as [`index`](Self::index) and [`generation`](Self::generation) told them. Others find
    /// nothing.
    #[must_use]
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { slot: index, generation }
    }

    /// The slot in the table: below the table's capacity, so good as an array index beside the director.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot as usize
    }

    /// How often the slot was taken before: two connections of one slot differ in it.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;
