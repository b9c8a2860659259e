//! CMAC with AES-256 (NIST SP 800-38B; RFC 4493), made one-way: what values are made into random-looking numbers by.
//!
//! Most values have up to a block or two, and a block takes a processor with instructions for AES a fifteenth of the time of
//! an HMAC with SHA-256. As a pseudo-random function it is good for 2^48 values and more under one key.
//!
//! Who has the key can decrypt CMAC's tag of a short value, and kinds promise that there is no way back, not even with the
//! key. So what is encrypted last is added to the tag, as hash functions that are made of ciphers do (Davies and Meyer: the
//! sum of a block and its encryption). To who does not have the key the tag alone is random already, and so is the sum.

use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use secrecy::zeroize::Zeroizing;

const BLOCK: usize = 16;

/// CMAC under one key.
#[derive(Clone)]
pub(super) struct Cmac {
    aes: Aes256,
    /// What a last block that is full is mixed with (the standard's K1).
    full: Zeroizing<u128>,
    /// And one that is padded (K2).
    padded: Zeroizing<u128>,
}

impl Cmac {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let aes = Aes256::new_from_slice(key).expect("thirty-two bytes");
        let full = Zeroizing::new(double(encrypt(&aes, 0)));
        let padded = Zeroizing::new(double(*full));
        Self { aes, full, padded }
    }

    /// The hash of a value.
    pub(super) fn one_way(&self, value: &[u8]) -> [u8; BLOCK] {
        let last = self.last(value);
        (encrypt(&self.aes, last) ^ last).to_be_bytes()
    }

    /// The standard's tag.
    #[cfg(test)]
    fn tag(&self, value: &[u8]) -> [u8; BLOCK] {
        encrypt(&self.aes, self.last(value)).to_be_bytes()
    }

    /// What is encrypted last.
    fn last(&self, value: &[u8]) -> u128 {
        let mut chain = 0;
        let mut rest = value;
        while let Some((block, others)) = rest.split_first_chunk::<BLOCK>()
            && !others.is_empty()
        {
            chain = encrypt(&self.aes, chain ^ u128::from_be_bytes(*block));
            rest = others;
        }
        let last = match <[u8; BLOCK]>::try_from(rest) {
            Ok(block) => u128::from_be_bytes(block) ^ *self.full,
            Err(_) => padded(rest) ^ *self.padded,
        };
        chain ^ last
    }
}

fn encrypt(aes: &Aes256, block: u128) -> u128 {
    let mut bytes = block.to_be_bytes();
    aes.encrypt_block((&mut bytes).into());
    u128::from_be_bytes(bytes)
}

/// A one and zeros behind what does not fill a block.
fn padded(rest: &[u8]) -> u128 {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x80;
    u128::from_be_bytes(block)
}

/// Times x in the field of 2^128 elements.
fn double(number: u128) -> u128 {
    (number << 1) ^ ((number >> 127) * 0x87)
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockDecrypt as _;

    use super::*;

    /// With the key a tag of a short value can be decrypted, and the hash of it cannot.
    #[test]
    fn the_key_does_not_lead_from_a_hash_to_the_value() {
        let cmac = Cmac::new(&[7; 32]);
        let decrypted = |made: [u8; BLOCK]| {
            let mut block = made.into();
            cmac.aes.decrypt_block(&mut block);
            (u128::from_be_bytes(block.into()) ^ *cmac.padded).to_be_bytes()
        };
        assert!(decrypted(cmac.tag(b"ada")).starts_with(b"ada"));
        assert!(!decrypted(cmac.one_way(b"ada")).starts_with(b"ada"));
    }

    /// NIST's "CMAC samples": AES-256.
    #[test]
    fn nist_s_vectors_hold() {
        const KEY: [u8; 32] = [
            0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d,
            0x77, 0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3,
            0x09, 0x14, 0xdf, 0xf4,
        ];
        const MESSAGE: [u128; 4] = [
            0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a,
            0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
            0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef,
            0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710,
        ];
        let message: Vec<u8> = MESSAGE
            .iter()
            .flat_map(|block| block.to_be_bytes())
            .collect();
        for (length, tag) in [
            (0, 0x0289_62f6_1b7b_f89e_fc6b_551f_4667_d983_u128),
            (16, 0x28a7_023f_452e_8f82_bd4b_f28d_8c37_c35c),
            (40, 0xaaf3_d8f1_de56_40c2_32f5_b169_b9c9_11e6),
            (64, 0xe199_2190_549f_6ed5_696a_2c05_6c31_5410),
        ] {
            let cmac = Cmac::new(&KEY);
            let made = cmac.tag(&message[..length]);
            assert_eq!(u128::from_be_bytes(made), tag, "{length} bytes");
            let hash = u128::from_be_bytes(cmac.one_way(&message[..length]));
            assert_eq!(hash, tag ^ cmac.last(&message[..length]));
        }
    }
}
