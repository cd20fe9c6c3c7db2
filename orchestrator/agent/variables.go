package agent

import "github.com/berth-dev/berth/orchestrator/dotenv"

// variables reads an .env file as it was probably meant: a later key wins;
// skipped are the numbers of lines that give nothing.
func variables(text string) (pairs []string, skipped []int) {
	values := map[string]string{}
	var order []string
	for _, l := range dotenv.Read(text) {
		if l.Key == "" {
			skipped = append(skipped, l.Number)
			continue
		}
		if _, known := values[l.Key]; !known {
			order = append(order, l.Key)
		}
		values[l.Key] = l.Value
	}
	for _, key := range order {
		pairs = append(pairs, key+"="+values[key])
	}
	return pairs, skipped
}
