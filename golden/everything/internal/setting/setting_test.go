package setting_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/setting"
)

func TestFaultsBeginWithTheVariable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{setting.Positive("A_B", 1), ""},
		{setting.Positive("A_B", 0), "A_B=0: must be more than 0"},
		{setting.Positive("A_B", math.NaN()), "A_B=NaN: must be more than 0"},
		{setting.AtLeast("A_B", 2, 2), ""},
		{setting.AtLeast("A_B", -time.Second, 0), "A_B=-1s: must be at least 0s"},
		{setting.Between("A_B", 1, 1, 2), ""},
		{setting.Between("A_B", 2, 1, 2), ""},
		{setting.Between("A_B", 3, 1, 2), "A_B=3: must be from 1 to 2"},
		{setting.Between("A_B", math.NaN(), 0, 1), "A_B=NaN: must be from 0 to 1"},
		{setting.Within("A_B", 2, "C_D", 2, "or else"), ""},
		{setting.Within("A_B", 3, "C_D", 2, "or else"), "A_B=3: must not be more than C_D=2, or else"},
		{setting.Check(true, "A_B"), ""},
		{setting.Check(false, "A_B=%d: odd", 3), "A_B=3: odd"},
	} {
		got := ""
		if err := errors.Join(tt.err); err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
}
