// Prints src/base/printable_table.h: the characters that strconv.IsPrint calls printable.
package main

import (
	"fmt"
	"strconv"
	"unicode"
)

func main() {
	fmt.Printf("/* Made by tests/go/cmd/printable from Go's tables of Unicode %s. */\n\n", unicode.Version)
	fmt.Println("// clang-format off")
	fmt.Println("/* First and last character of each range, in their order. */")
	fmt.Println("static const printable_range printable_ranges[] = {")
	line := "   "
	for first := rune(0); first <= unicode.MaxRune; first++ {
		if !strconv.IsPrint(first) {
			continue
		}
		last := first
		for last < unicode.MaxRune && strconv.IsPrint(last+1) {
			last++
		}
		entry := fmt.Sprintf(" {%#x, %#x},", first, last)
		if len(line)+len(entry) > 120 {
			fmt.Println(line)
			line = "   "
		}
		line += entry
		first = last
	}
	fmt.Println(line)
	fmt.Println("};")
}
