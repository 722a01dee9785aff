// Reads metrics from the standard input with Prometheus' own parser, and prints what `promtool check metrics` would say about
// them, one line each. Ends with 1 if they cannot be parsed.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot be parsed:", err)
		os.Exit(1)
	}
	// The same series twice is no error of the parser, but of a scrape.
	seen := map[string]bool{}
	for name, family := range families {
		for _, metric := range family.Metric {
			series := name + fmt.Sprint(metric.Label)
			if seen[series] {
				fmt.Fprintln(os.Stderr, "twice:", series)
				os.Exit(1)
			}
			seen[series] = true
		}
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, problem := range problems {
		fmt.Printf("%s: %s\n", problem.Metric, problem.Text)
	}
}
