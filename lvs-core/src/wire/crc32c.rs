//! CRC32c, the checksum of SCTP (RFC 9260 appendix A).

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The checksum of an SCTP packet, taken as if its checksum field (bytes 8 to 11) were zero.
pub(crate) fn sctp(packet: &[u8]) -> u32 {
    let crc = packet.iter().enumerate().fold(u32::MAX, |crc, (at, &byte)| {
        let byte = if (8..12).contains(&at) { 0 } else { byte };
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc32c() {
        // "123456789" has none of its bytes at 8 to 11 but the last, which is put behind them here.
        let crc =
            b"123456789".iter().fold(u32::MAX, |crc, &byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8);
        assert_eq!(!crc, 0xe306_9283);
        assert_eq!(sctp(&[0; 12]), sctp(&[0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9]));
    }
}
