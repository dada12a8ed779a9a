//! The example `threads`, from outside: what it prints.

use lvs_examples::threads;

#[test]
fn both_threads_have_their_share_and_every_reply_comes_from_the_virtual_address() {
    let mut out = Vec::new();
    threads::run(&mut out).expect("nothing goes wrong");
    let text = String::from_utf8(out).expect("the report is a text");
    let lines: Vec<&str> = text.lines().collect();
    let number = |line: &str, word: usize| line.split(' ').nth(word).and_then(|word| word.parse::<usize>().ok());
    let packets: Vec<usize> = lines[..2].iter().filter_map(|line| number(line, 2)).collect();
    let connections: Vec<usize> = lines[..2].iter().filter_map(|line| number(line, 4)).collect();
    assert_eq!((packets.iter().sum::<usize>(), connections.iter().sum::<usize>()), (12_000, 1000), "{text}");
    assert!(packets.iter().all(|&count| count > 4000), "{text}");
    assert_eq!(lines[2], "6000 replies from the virtual address");
    assert!(text.contains("-> 10.0.0.1:8080                Masq    1      167        0"), "{text}");
    assert!(text.contains("-> 10.0.0.2:8080                Masq    2      333        0"), "{text}");
}
