// Prints src/base/printable_table.h: which characters are printable, which of them cannot be seen, and which are marks.
package main

import (
	"fmt"
	"strconv"
	"unicode"
)

// isUnseen: fonts draw nothing for it, so that two texts look the same (Unicode's Default_Ignorable_Code_Point).
func isUnseen(c rune) bool {
	return strconv.IsPrint(c) && unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// isMark: it is drawn over the character before it, and takes no column.
func isMark(c rune) bool {
	return strconv.IsPrint(c) && !isUnseen(c) && unicode.In(c, unicode.Mn, unicode.Me)
}

func table(name string, has func(rune) bool) {
	fmt.Printf("static const printable_range %s[] = {\n", name)
	line := "   "
	for first := rune(0); first <= unicode.MaxRune; first++ {
		if !has(first) {
			continue
		}
		last := first
		for last < unicode.MaxRune && has(last+1) {
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

func main() {
	fmt.Printf("/* Made by tests/go/cmd/printable from Go's tables of Unicode %s. */\n\n", unicode.Version)
	fmt.Println("// clang-format off")
	fmt.Println("/* First and last character of each range, in their order. */")
	table("printable_ranges", strconv.IsPrint)
	fmt.Println()
	table("unseen_ranges", isUnseen)
	fmt.Println()
	table("mark_ranges", isMark)
}
