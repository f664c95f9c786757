#!/usr/bin/env bash
# A SLURM of one node on loopback, to try the scripts beside this one without a cluster.
#
#   deploy/slurm/one-node.sh start FOLDER    # configuration, state and logs go into FOLDER
#   export SLURM_CONF=FOLDER/slurm.conf
#   sbatch deploy/slurm/tlseg.sbatch ...
#   deploy/slurm/one-node.sh stop FOLDER
#
# Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge. There are no cgroups and no database: jobs
# are followed by their process ids, so this shows that scripts run, not that limits are kept.
set -euo pipefail

verb=${1:?"start or stop"}
folder=$(realpath -m "${2:?"a folder for configuration, state and logs"}")

start() {
  mkdir -p "$folder"/{state,spool,log}
  # munged refuses a key, socket or log that others could have placed.
  install -d -o munge -g munge -m 0755 /run/munge
  pgrep -u munge -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
  # What slurmd itself finds out about this machine: NodeName=... CPUs=... RealMemory=...
  local node
  node=$(slurmd -C | head -n 1)
  cat >"$folder/slurm.conf" <<EOF
ClusterName=one-node
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
$node NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
  slurmctld -f "$folder/slurm.conf"
  slurmd -f "$folder/slurm.conf"
  for _ in $(seq 30); do
    if SLURM_CONF=$folder/slurm.conf sinfo --noheader --states=idle | grep -q idle; then
      echo "export SLURM_CONF=$folder/slurm.conf"
      return
    fi
    sleep 1
  done
  echo "The node is not idle after 30 s; see $folder/log." >&2
  return 1
}

stop() {
  # munged is left as it is: another SLURM of this machine may use it.
  for daemon in slurmd slurmctld; do
    if [ -f "$folder/$daemon.pid" ]; then
      kill "$(cat "$folder/$daemon.pid")" || true
    fi
  done
}

case $verb in
  start | stop) "$verb" ;;
  *) echo "start or stop, not $verb" >&2; exit 2 ;;
esac
