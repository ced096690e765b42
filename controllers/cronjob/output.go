package cronjob

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxRotated bounds how many rotated files of an output are looked for.
const maxRotated = 1000

// readOutput returns the beginning and the end of what a run has written, each stream within limit bytes. What cannot be read
// is left out: the files are where they are.
func readOutput(dir string, limit int) (stdout, stderr string) {
	if dir == "" {
		return "", ""
	}
	return readStream(filepath.Join(dir, "stdout.log"), limit), readStream(filepath.Join(dir, "stderr.log"), limit)
}

// readStream reads a file and its rotated predecessors, NAME.1 the newest of them, as one text.
func readStream(path string, limit int) string {
	var files []string
	for n := 1; n <= maxRotated; n++ {
		name := path + "." + strconv.Itoa(n)
		if _, err := os.Stat(name); err != nil {
			break
		}
		files = append([]string{name}, files...)
	}
	files = append(files, path)
	sizes, total := make([]int64, len(files)), int64(0)
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			sizes[i] = info.Size()
			total += info.Size()
		}
	}
	if total <= int64(limit) {
		return clean(readSpan(files, sizes, 0, total))
	}
	head := int64(limit / 4)
	tail := int64(limit) - head
	left := total - head - tail
	return clean(readSpan(files, sizes, 0, head)) +
		fmt.Sprintf("\n[... %d bytes are left out; the whole output is in %s ...]\n", left, path) +
		clean(readSpan(files, sizes, total-tail, tail))
}

// readSpan reads length bytes from offset on of the files taken as one.
func readSpan(files []string, sizes []int64, offset, length int64) string {
	var text strings.Builder
	for i, name := range files {
		if offset >= sizes[i] {
			offset -= sizes[i]
			continue
		}
		n := min(sizes[i]-offset, length)
		if n <= 0 {
			break
		}
		if f, err := os.Open(name); err == nil {
			_, _ = io.Copy(&text, io.NewSectionReader(f, offset, n)) // what cannot be read is left out
			_ = f.Close()
		}
		offset, length = 0, length-n
	}
	return text.String()
}

// clean makes text of what a program wrote: a database and JSON take no other.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
